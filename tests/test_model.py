"""Saved models: what survives, and what a damaged or hostile folder can do."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.base import clone

import textmetric
from tests.tiny import trained
from textmetric import TextEmbedder
from textmetric.errors import UserError
from textmetric.model import TrainedModel
from textmetric.runtime import Model
from textmetric.text import Vocabulary
from textmetric.text.tokenizer import given_tokenizer

TEXTS = ["green apple pie", "red apple juice", "fast red car", "slow green bus"]
LABELS = ["food", "food", "road", "road"]
VALUES = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
SMALL: dict[str, Any] = {
    "dim": 4, "epochs": 2, "batch_size": 4, "lr": 0.1, "start": "uniform",
    "tokenizer": "basic_english",
}  # fmt: skip
TOKENIZER = json.dumps(
    {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None, "decoder": None,
        "model": {
            "type": "WordLevel", "unk_token": "<unk>",
            "vocab": {token: place for place, token in enumerate(
                ["<unk>", *sorted(set(" ".join(TEXTS).split()))])},
        },
    }
)  # fmt: skip


def bag() -> TrainedModel:
    return TextEmbedder("triplet", layer="mlp", **SMALL).fit(TEXTS, LABELS).model_


def with_head() -> TrainedModel:
    return TextEmbedder("norm_softmax", **SMALL).fit(TEXTS, LABELS).model_


def frozen() -> TrainedModel:
    embedder = TextEmbedder("cross_entropy", encoder="frozen", layer="linear", **SMALL)
    return embedder.fit(VALUES, LABELS).model_


def with_tokenizer() -> TrainedModel:
    model = bag()
    model.vocabulary = Vocabulary(model.vocabulary.tokens, given_tokenizer(TOKENIZER))
    return model


KINDS = pytest.mark.parametrize(
    "make",
    [
        bag,
        with_head,
        frozen,
        pytest.param(
            with_tokenizer,
            marks=pytest.mark.skipif(
                find_spec("tokenizers") is None, reason="needs the package tokenizers"
            ),
        ),
    ],
)


def embedded(model: TrainedModel) -> bytes:
    is_frozen = model.recipe.model.encoder == "frozen"
    embeddings = model.embed(VALUES if is_frozen else model.encode(TEXTS))
    found = embeddings, model.predict(embeddings), model.predict_centroid(embeddings)
    return b"".join(array.tobytes() for array in found)


def used(model: Model) -> bytes:
    """The same as :func:`embedded`, where it is used without torch."""
    is_frozen = model._saved.frozen
    embeddings = model.transform(VALUES if is_frozen else TEXTS)
    classifier = model._saved.classifier
    found = embeddings, classifier.predict(embeddings), classifier.by_centroid(embeddings)
    return b"".join(array.tobytes() for array in found)


Files = dict[str, bytes]
Tampered = Iterator[tuple[str, Files]]


def sealed(files: Files, weights: bytes) -> Files:
    """The folder with other weights, and their sum in model.json."""
    about = json.loads(files["model.json"]) | {"sha256": hashlib.sha256(weights).hexdigest()}
    return files | {"weights.safetensors": weights, "model.json": json.dumps(about).encode()}


def damaged(files: Files, rng: random.Random) -> Tampered:
    """Bytes lost, changed and added."""
    for name, content in files.items():
        for length in {0, 1, 8, len(content) - 1, *rng.sample(range(len(content)), 8)}:
            yield f"{name} cut to {length}", files | {name: content[:length]}
        for place in rng.sample(range(len(content)), 12):
            changed = bytearray(content)
            changed[place] ^= 1 << rng.randrange(8)
            yield f"{name} bit at {place}", files | {name: bytes(changed)}
        for more in (b"\0", b"}", content):
            yield f"{name} and {more[:9]!r}", files | {name: content + more}
        yield f"without {name}", {other: files[other] for other in files if other != name}
    yield "a tokenizer", {"tokenizer.json": b"{}"} | files | {"tokenizer.json": b"[]"}


ODD: list[Any] = [
    None, True, -1, 0, 7, 1.5, 10**30, float("nan"), float("inf"), "", "x", "\ud800", "../../etc",
    [], [None], ["a", "a"], {}, {"name": "x"}, [[["deep"]]],
]  # fmt: skip


def described(files: Files, rng: random.Random) -> Tampered:
    """model.json with every key removed, of another type, or new; and broken JSON."""
    about = json.loads(files["model.json"])

    def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*path, key)
            if isinstance(value[key], dict | list):
                yield from paths(value[key], (*path, key))

    def changed(path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Files:
        copy = json.loads(files["model.json"])
        inner = copy
        for key in path[:-1]:
            inner = inner[key]
        change(inner, path[-1])
        return files | {"model.json": json.dumps(copy).encode()}

    for path in paths(about):
        yield f"no {path}", changed(path, lambda inner, key: inner.pop(key))
        for odd in rng.sample(ODD, 5):
            yield f"{path} = {odd!r}", changed(path, lambda i, key, v=odd: i.__setitem__(key, v))
    for path in [("extra",), ("recipe", "extra"), ("recipe", "train", "extra")]:
        yield f"new {path}", changed(path, lambda inner, key: inner.__setitem__(key, 1))
    text = files["model.json"]
    for name, broken in {
        "list": b"[]", "null": b"null", "deep": b"[" * 100_000, "bom": b"\xef\xbb\xbf" + text,
        "utf-16": text.decode().encode("utf-16"),
        "surrogate": text.replace(b"food", b"\xed\xa0\x80"),
        "twice": text.rstrip()[:-1] + b', "label_names": ["a"]}',
        "digits": text.replace(b'"seed": 0', b'"seed": ' + b"9" * 5000),
        "long": text.replace(b'"food"', b'"' + b"food\\n" * 50_000 + b'"'),
    }.items():  # fmt: skip
        yield f"model.json {name}", files | {"model.json": broken}


_WORDS = ("vocabulary", "longer")


def with_other_tensors(files: Files) -> Tampered:
    """Tensors missing, new, and of other types, shapes and values; the sum fits."""
    tensors = safetensors.torch.load(files["weights.safetensors"])

    def saved(others: dict[str, torch.Tensor]) -> Files:
        contiguous = {name: value.contiguous() for name, value in others.items()}
        return sealed(files, safetensors.torch.save(contiguous))

    for name, tensor in tensors.items():
        yield f"no {name}", saved({other: tensors[other] for other in tensors if other != name})
        others = {
            "double": tensor.double(), "half": tensor.half(), "integer": tensor.long(),
            "truth": tensor.bool(), "turned": tensor.movedim(0, -1), "flat": tensor.flatten(),
            "deeper": tensor[None], "longer": torch.cat([tensor, tensor[:1]]),
            "shorter": tensor[1:], "empty": tensor[:0], "one": tensor.flatten()[0].clone(),
        }  # fmt: skip
        if tensor.is_floating_point():
            for value in (torch.nan, torch.inf, -torch.inf):
                others[f"with {value}"] = tensor.clone()
                others[f"with {value}"].view(-1)[1] = value
            others["all NaN"] = torch.full_like(tensor, torch.nan)
        for what, other in others.items():
            # other values of the same type and shape are another model, as are other words
            same = other.dtype == tensor.dtype and other.shape == tensor.shape
            if not (same and bool(other.isfinite().all())) and (name, what) != _WORDS:
                yield f"{name} {what}", saved(tensors | {name: other})
    for words in (b"", b"pie", b"<unk>\npie\npie", b"<unk>\n\npie", b"<unk>\xff", b"<unk>\na b"):
        other = torch.frombuffer(bytearray(words or b"\n"), dtype=torch.uint8)
        yield f"vocabulary {words!r}", saved(tensors | {"vocabulary": other})
    for name in ("extra", "head.extra", "logistic", "../weights", "\n"):
        yield f"new tensor {name!r}", saved(tensors | {name: torch.ones(2)})


def with_other_headers(files: Files) -> Tampered:
    """safetensors files whose header lies; the sum fits."""
    weights = files["weights.safetensors"]
    (length,) = struct.unpack("<Q", weights[:8])
    header, data = json.loads(weights[8 : 8 + length]), weights[8 + length :]
    first = min(name for name in header if name != "__metadata__")

    def written(changes: dict[str, Any], rest: bytes = data) -> Files:
        text = json.dumps(header | {first: header[first] | changes}).encode()
        return sealed(files, struct.pack("<Q", len(text)) + text + rest)

    for size in (0, 1, length - 1, length + 1, 100_000_001, 2**31, 2**63, 2**64 - 1):
        yield f"header of {size}", sealed(files, struct.pack("<Q", size) + weights[8:])
    start, end = header[first]["data_offsets"]
    for changes in (
        {"dtype": "F64"}, {"dtype": "F8_E4M3"}, {"dtype": "X"}, {"dtype": 3}, {"dtype": "BOOL"},
        {"shape": []}, {"shape": [-1]}, {"shape": [2**62, 4]}, {"shape": [2**64]}, {"shape": "4"},
        {"shape": [0]}, {"data_offsets": [start, end + 4]}, {"data_offsets": [start + 4, end]},
        {"data_offsets": [end, start]}, {"data_offsets": [-4, end]}, {"data_offsets": [0]},
        {"data_offsets": [start, 2**63]}, {"data_offsets": None}, {"extra": 1},
    ):  # fmt: skip
        yield f"header with {changes}", written(changes)
    yield "data twice", written({}, data + data)
    yield "no data", written({}, b"")
    for text in (b"", b"[]", b"null", b"{" * 1000, b"\xff\xfe", b'{"__metadata__": 1}'):
        yield f"header {text[:9]!r}", sealed(files, struct.pack("<Q", len(text)) + text + data)


def put(folder: Path, before: Files, files: Files) -> None:
    """Write what differs from before."""
    for name in before.keys() - files.keys():
        (folder / name).unlink()
    for name, content in files.items():
        if before.get(name) != content:
            (folder / name).write_bytes(content)


def check(error: UserError, folder: Path, what: str) -> None:
    message = str(error)
    assert str(folder) in message, what
    assert len(message.splitlines()) == 1, what
    assert len(message) < 600, what


@KINDS
def test_a_tampered_folder_is_refused_in_one_sentence_or_embeds_as_before(
    make: Callable[[], TrainedModel], tmp_path: Path
) -> None:
    model, folder, rng = make(), tmp_path / "model", random.Random(0)
    model.save(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    expected = embedded(TrainedModel.load(folder))
    assert expected == embedded(model)
    now = files
    refused = accepted = spared = 0
    for what, tampered in (
        *damaged(files, rng),
        *described(files, rng),
        *with_other_tensors(files),
        *with_other_headers(files),
    ):
        put(folder, now, tampered)
        now = tampered
        readable = False
        try:
            loaded = TrainedModel.load(folder)
        except UserError as error:
            check(error, folder, what)
            refused += 1
        else:
            assert embedded(loaded) == expected, what
            assert not what.startswith("new"), what
            accepted += 1
            readable = True
        try:
            model_in_use = textmetric.load(folder)
        except UserError as error:
            check(error, folder, what)
            assert not readable, what
        else:  # it reads less of the recipe, so there is less to refuse
            assert used(model_in_use) == expected, what
            assert readable or "recipe" in what or what.startswith("model.json"), what
            spared += not readable
    assert refused - spared > 230
    assert accepted > 10  # such as another name of a class, or another seed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "tokenizer.json"])
def test_what_is_no_file_is_not_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    bag().save(folder)
    for put in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)):
        (folder / name).unlink(missing_ok=True)
        put(folder / name)
        with pytest.raises(UserError, match=rf"{name}"):
            TrainedModel.load(folder)
        if (folder / name).is_dir():
            (folder / name).rmdir()


def test_half_a_surrogate_pair_survives_in_labels_and_tokens(tmp_path: Path) -> None:
    texts = [*TEXTS, "pie \udfff1 \ud800", "\ud800 car"]
    labels = ["a\ud800", "a\ud800", "\udc00", "\udc00", "a\ud800", "\udc00"]
    embedder = TextEmbedder("cross_entropy", **SMALL).fit(texts, labels)
    embedder.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert loaded.classes_.tolist() == ["a\ud800", "\udc00"]
    assert loaded.model_.vocabulary.tokens == embedder.model_.vocabulary.tokens
    assert "\udfff1" in loaded.model_.vocabulary.tokens
    np.testing.assert_array_equal(loaded.transform(texts), embedder.transform(texts))
    (tmp_path / "model" / "model.json").read_text(encoding="utf-8")  # valid UTF-8 all the same


def test_saving_to_a_link_replaces_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    first, second = bag(), with_head()
    link, there = tmp_path / "latest", tmp_path / "models" / "1"
    link.symlink_to(there)
    for model in (first, second):  # where the link leads nowhere yet, and where it leads to a model
        model.save(link)
        assert link.is_symlink()
        assert embedded(TrainedModel.load(link)) == embedded(model)
        assert embedded(TrainedModel.load(there)) == embedded(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "models"]
    (there / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not a saved model"):
        first.save(link)


def test_a_model_of_another_format_says_which_version_to_use(tmp_path: Path) -> None:
    bag().save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(path.read_text().replace('"format": 3', '"format": 1'))
    with pytest.raises(UserError, match=r"has format 1, this version reads format 3: install"):
        TrainedModel.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"road"', '"food"', r"label_names is .*, but it should hold no name twice"),
        ('"name": "triplet"', '"name": "tripplet"', "unknown objective 'tripplet'; did you mean"),
        (
            '"name": "triplet"',
            '"name": "triplet", "margin": -1',
            r"recipe\.objective\.margin is -1",
        ),
        ('"epochs": 2', '"epochs": 0', r"recipe\.train\.epochs is 0"),
    ],
)
def test_what_the_embeddings_do_not_show_is_checked_too(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    bag().save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=rf"model\.json is damaged \(.*{said}"):
        TrainedModel.load(tmp_path / "model")


def test_a_model_of_the_pipeline_has_the_parameters_of_its_own_objective(tmp_path: Path) -> None:
    # a section of params.yaml may keep those of others
    model, *_ = trained(objective={"name": "triplet", "margin": 0.3, "power": 2}, seed=3, epochs=2)
    model.save(tmp_path / "model")
    loaded = TextEmbedder.load(tmp_path / "model")
    assert (loaded.objective, loaded.objective_params) == ("triplet", {"margin": 0.3})
    assert (loaded.seed, loaded.epochs, loaded.batch_size, loaded.dim) == (3, 2, 12, 8)
    clone(loaded).fit(TEXTS, LABELS)
