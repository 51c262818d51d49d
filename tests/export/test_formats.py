"""An export opened by its library gives the embeddings of the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.examples import EMPTY, TEXTS, frozen, model
from textmetric.errors import UserError
from textmetric.export import (
    export_model2vec,
    export_onnx,
    export_parquet,
    export_sentence_transformers,
)
from textmetric.runtime import Model
from textmetric.text import BASIC_ENGLISH, NGRAMS
from textmetric.text.tokenizer import WORDS, given_tokenizer, read_tokenizer
from textmetric.types import Float32, Float64

LAYERS = ["bag", "linear", "layernorm", "mlp"]
FOLDED = ["bag", "linear"]


def by_model2vec(folder: Path, texts: list[str]) -> Float32:
    library = pytest.importorskip("model2vec", reason="the package model2vec is missing")
    return library.StaticModel.from_pretrained(folder).encode(texts)


def by_sentence_transformers(folder: Path, texts: list[str]) -> Float32:
    library = pytest.importorskip(
        "sentence_transformers", reason="the package sentence-transformers is missing"
    )
    return library.SentenceTransformer(str(folder), device="cpu").encode(texts)


def by_onnx(folder: Path, texts: list[str]) -> Float32:
    runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is missing")
    tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is missing")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = tokenizer.encode_batch(texts, add_special_tokens=False)
    session = runtime.InferenceSession(str(folder / "model.onnx"))
    [found] = session.run(
        ["embedding"],
        {
            "input_ids": np.array([row.ids for row in rows], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in rows], dtype=np.int64),
        },
    )
    return found


def cosines(a: Float32, b: Float32) -> Float64:
    """Of each row with the same row; 1 for two zero rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    return np.where(both_zero, 1, (a * b).sum(axis=1) / np.where(lengths, lengths, 1))


def assert_equal_embeddings(found: Float32, expected: Float32) -> None:
    assert found.dtype == np.float32
    assert cosines(found, expected).min() > 1 - 1e-6
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("tokenizer", [BASIC_ENGLISH, WORDS], ids=lambda found: found.name)
@pytest.mark.parametrize("layer", FOLDED)
def test_model2vec_gives_the_embeddings(layer: str, tokenizer: Any, tmp_path: Path) -> None:
    machine = model(layer, tokenizer)
    export_model2vec(machine, tmp_path / "out")
    assert_equal_embeddings(by_model2vec(tmp_path / "out", TEXTS), machine.transform(TEXTS))
    # a linear layer gives its bias to a text without a known token, which a mean cannot
    assert not by_model2vec(tmp_path / "out", EMPTY).any()
    assert machine.transform(EMPTY).any() == (layer == "linear")
    assert ("zero vector here" in (tmp_path / "out" / "README.md").read_text()) == (
        layer == "linear"
    )


def test_sentence_transformers_opens_an_export_to_model2vec(tmp_path: Path) -> None:
    machine = model("linear")
    export_model2vec(machine, tmp_path / "out")
    found = by_sentence_transformers(tmp_path / "out", TEXTS)
    assert_equal_embeddings(found, machine.transform(TEXTS))


@pytest.mark.parametrize("tokenizer", [BASIC_ENGLISH, WORDS], ids=lambda found: found.name)
@pytest.mark.parametrize("layer", LAYERS)
def test_sentence_transformers_gives_the_embeddings(
    layer: str, tokenizer: Any, tmp_path: Path
) -> None:
    machine = model(layer, tokenizer)
    export_sentence_transformers(machine, tmp_path / "out")
    texts = [*TEXTS, *EMPTY]
    found = by_sentence_transformers(tmp_path / "out", texts)
    assert_equal_embeddings(found, machine.transform(texts))


def test_model2vec_refuses_layers_instead_of_leaving_them_out(tmp_path: Path) -> None:
    library = pytest.importorskip("model2vec", reason="the package model2vec is missing")
    export_sentence_transformers(model("bag"), tmp_path / "bag")
    found = library.StaticModel.from_pretrained(tmp_path / "bag").encode(TEXTS, max_length=None)
    assert_equal_embeddings(found, model("bag").transform(TEXTS))
    export_sentence_transformers(model("mlp"), tmp_path / "mlp")
    with pytest.raises(ValueError, match="Could not find expected model files"):
        library.StaticModel.from_pretrained(tmp_path / "mlp")


@pytest.mark.parametrize("tokenizer", [BASIC_ENGLISH, WORDS], ids=lambda found: found.name)
@pytest.mark.parametrize("layer", LAYERS)
def test_onnx_gives_the_embeddings(layer: str, tokenizer: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the package onnx is missing")
    machine = model(layer, tokenizer)
    export_onnx(machine, tmp_path / "out")
    texts = [*TEXTS, *EMPTY]
    assert_equal_embeddings(by_onnx(tmp_path / "out", texts), machine.transform(texts))
    found = by_onnx(tmp_path / "out", EMPTY)  # no token at all
    assert_equal_embeddings(found, machine.transform(EMPTY))


def wordpiece() -> str:
    """A tokenizer of BERT's kind, with special tokens."""
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is missing")
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "red",
        "##s",
        "apple",
        "car",
        "pie",
        "!",
    ]
    machine = library.Tokenizer(
        library.models.WordPiece({token: i for i, token in enumerate(pieces)}, unk_token="[UNK]")
    )
    machine.normalizer = library.normalizers.BertNormalizer()
    machine.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    machine.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    machine.post_processor = library.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return machine.to_str()


GIVEN_TEXTS = ["Apples and a red car!", "reds", "pie [MASK] pie", "red \U0001f600", "apple"]


def given_model(layer: str) -> Model:
    tokens = ["car", "red", "apple", "##s", "!"]  # another order, and without pie
    return model(layer, given_tokenizer(wordpiece()), tokens=tokens)


@pytest.mark.parametrize("layer", FOLDED)
@pytest.mark.parametrize(
    ("export", "opened"),
    [(export_model2vec, by_model2vec), (export_sentence_transformers, by_sentence_transformers)],
    ids=["model2vec", "sentence-transformers"],
)
def test_a_given_tokenizer_keeps_the_direction(
    export: Callable[..., None], opened: Callable[..., Float32], layer: str, tmp_path: Path
) -> None:
    machine = given_model(layer)
    export(machine, tmp_path / "out")
    texts = [text for text in GIVEN_TEXTS if "pie" not in text]
    expected = machine.transform(texts)
    found = opened(tmp_path / "out", texts)
    assert cosines(found, expected).min() > 1 - 1e-6
    assert not opened(tmp_path / "out", ["pie"]).any()
    [folder] = [path.parent for path in (tmp_path / "out").rglob("tokenizer.json")]
    assert (folder / "tokenizer.json").read_text() == machine.saved.vocabulary.tokenizer.definition


@pytest.mark.parametrize("layer", LAYERS)
def test_onnx_leaves_out_what_a_given_tokenizer_has_and_the_vocabulary_lacks(
    layer: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="the package onnx is missing")
    machine = given_model(layer)
    export_onnx(machine, tmp_path / "out")
    found = by_onnx(tmp_path / "out", [*GIVEN_TEXTS, *EMPTY])
    assert_equal_embeddings(found, machine.transform([*GIVEN_TEXTS, *EMPTY]))


@pytest.mark.parametrize(
    ("export", "machine", "said"),
    [
        (export_model2vec, lambda: model("mlp"), "layer mlp.*export it to sentence-transformers"),
        (export_model2vec, lambda: model("layernorm"), "layer layernorm.*or onnx"),
        (export_sentence_transformers, lambda: given_model("mlp"), "given tokenizer.*to onnx"),
        *(
            (export, lambda: model("bag", NGRAMS), "basic_english_ngrams overlap.*to parquet")
            for export in (export_model2vec, export_sentence_transformers, export_onnx)
        ),
        *(
            (export, frozen, "vectors of texts, not tokens.*to parquet")
            for export in (export_model2vec, export_sentence_transformers, export_onnx)
        ),
        (export_model2vec, lambda: "no/model", "no/model holds no model.json"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_express_is_refused_with_a_format_that_can(
    export: Callable[..., None], machine: Callable[[], Any], said: str, tmp_path: Path
) -> None:
    if export is export_onnx:
        pytest.importorskip("onnx", reason="the package onnx is missing")
    with pytest.raises(UserError, match=said):
        export(machine(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_an_estimator_and_a_loaded_model_give_the_same_files(tmp_path: Path) -> None:
    from textmetric import TextEmbedder

    embedder = TextEmbedder(dim=4, epochs=1, batch_size=4, lr=0.1, start="uniform")
    embedder.fit(["red car", "a car", "a pie", "red pie"], ["road", "road", "food", "food"])
    embedder.save(tmp_path / "model")
    for place, source in enumerate((tmp_path / "model", embedder, Model.load(tmp_path / "model"))):
        export_model2vec(source, tmp_path / str(place) / "out")
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / str(place) / "out").iterdir()}
        for place in range(3)
    ]
    assert files[0] == files[1] == files[2]
    assert set(files[0]) == {
        "README.md", "model.safetensors", "config.json", "tokenizer.json", "modules.json",
    }  # fmt: skip


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export_sentence_transformers(model("mlp"), out)
    export_model2vec(model("bag"), out)
    assert not (out / "0_TokenVectors").exists()
    assert json.loads((out / "config.json").read_text()) == {
        "normalize": False,
        "max_length": None,
    }
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="out exists and is not an export"):
        export_model2vec(model("bag"), out)
    assert (out / "notes.txt").read_text() == "mine"
    for name, content in (("README.md", "# Mine"), ("README.md", "---\nmine"), ("x", "")):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / name).write_text(content)
        with pytest.raises(UserError, match="other exists and is not an export"):
            export_model2vec(model("bag"), other)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file exists and is not an export"):
        export_model2vec(model("bag"), tmp_path / "file")


def test_an_interrupted_export_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export_model2vec(model("bag"), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("textmetric.export.static.card", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_model2vec(model("linear"), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_parquet_has_texts_labels_predictions_and_vectors(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    machine = model("bag")
    texts, labels = [*TEXTS, "", "nothing known"], [*range(len(TEXTS)), None, 3]
    export_parquet(machine, texts, tmp_path / "out", labels=labels)
    table = parquet.read_table(tmp_path / "out" / "texts.parquet")
    assert table.column_names == ["text", "label", "predicted", "vector"]
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<")
    assert table["text"].to_pylist() == texts
    assert table["label"].to_pylist() == labels
    assert table["predicted"].to_pylist() == [*machine.predict(TEXTS).tolist(), None, None]
    found = np.array(table["vector"].to_pylist(), dtype=np.float32)
    np.testing.assert_array_equal(found, machine.transform(texts))
    export_parquet(machine, [], tmp_path / "out")
    table = parquet.read_table(tmp_path / "out" / "texts.parquet")
    assert (table.column_names, table.num_rows) == (["text", "predicted", "vector"], 0)


def test_parquet_takes_the_vectors_of_a_frozen_encoder(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    machine, vectors = frozen(), np.random.default_rng(0).normal(size=(2, 6))
    export_parquet(machine, ["a", "b"], tmp_path / "out", vectors=vectors)
    table = parquet.read_table(tmp_path / "out" / "texts.parquet")
    found = np.array(table["vector"].to_pylist(), dtype=np.float32)
    np.testing.assert_array_equal(found, machine.transform(vectors))
    assert table["predicted"].to_pylist() == machine.predict(vectors).tolist()
    with pytest.raises(UserError, match="embeds given vectors, not texts"):
        export_parquet(machine, ["a", "b"], tmp_path / "out")


@pytest.mark.parametrize(
    ("texts", "about", "said"),
    [
        (["fine", "half \ud800"], {}, "text 1 .* half of a surrogate pair"),
        (["a"], {"labels": ["x", "y"]}, "2 labels and 1 texts"),
        (["a", 3], {}, "text 1 is 3, expected a string"),
        (["a"], {"labels": ["\ud800"]}, "labels cannot be written to parquet"),
    ],
)
def test_what_parquet_cannot_hold_is_refused(
    texts: list[Any], about: dict[str, Any], said: str, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="the package pyarrow is missing")
    with pytest.raises(UserError, match=said):
        export_parquet(model("bag"), texts, tmp_path / "out", **about)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("missing", "export"),
    [
        ("onnx", lambda out: export_onnx(model("bag"), out)),
        ("pyarrow", lambda out: export_parquet(model("bag"), ["a"], out)),
        ("tokenizers", lambda out: export_model2vec(given_model("bag"), out)),
    ],
)
def test_a_missing_package_is_named(
    missing: str,
    export: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = wordpiece() if missing == "tokenizers" else ""
    monkeypatch.setattr("tests.export.test_formats.wordpiece", lambda: definition)
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    read_tokenizer.cache_clear()
    with pytest.raises(UserError, match=f"needs the package {missing}"):
        export(tmp_path / "out")
