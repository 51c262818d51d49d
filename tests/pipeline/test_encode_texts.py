"""A frozen encoder through the real stages, on tiny texts that bring their vectors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.pipeline.test_stages import MORE_WORDS, run, write_params
from tests.tiny import CPU
from textmetric import TextEmbedder
from textmetric.encoders import FrozenEncoder, TextVectors
from textmetric.encoders import frozen as frozen_module
from textmetric.errors import UserError
from textmetric.files import read_arrays, read_json
from textmetric.grid import Arm, Family, Layout, Split, Training
from textmetric.model import TrainedModel
from textmetric.params import Finetune, Model, Train
from textmetric.pipeline.encode_texts import encode_texts
from textmetric.text import TokenizedCorpus
from textmetric.training.finetuning import TUNINGS, finetune, start
from textmetric.types import PARTS

FROZEN = {"encoder": "frozen", "layer": "linear", "dim": 4, "vectors": None}
WIDTH = 6
SPLITS = {
    "target": {"role": "target"},
    "target-scarce-0": {"role": "target", "scarce": [0], "keep": 0.2},
    "source": {"role": "source"},
    "source-open": {"role": "source", "open": 0.5},
}
STEPS = [
    ("objectives",), ("download",), ("vectors",), ("encode",), ("tokenize",), ("split",),
    ("train", "--family", "cls", "--role", "target"),
    ("train", "--family", "cls", "--role", "source"),
    ("train", "--family", "metric", "--role", "source"),
    ("embed", "--family", "cls"),
    ("finetune", "--init", "metric"), ("finetune", "--init", "scratch"),
]  # fmt: skip


def write_corpora(folder: Path) -> None:
    """Two tables whose texts end in a number. It is the first value of the vector, then the class.

    Three texts are repeated and so dropped: rows and vectors would shift against each other if
    they were matched by their places.
    """
    for name, label, rows, first in (("few", "label", 60, 0), ("many", "topic", 100, 1000)):
        rng = np.random.default_rng(first)
        numbers = np.array([0, 1, 2, *range(rows)])
        codes = numbers % len(MORE_WORDS)
        labels = np.array(sorted(MORE_WORDS))[codes]
        texts = [
            f"{' '.join(np.roll(MORE_WORDS[label], number))} {first + number}"
            for label, number in zip(labels, numbers, strict=True)
        ]
        noise = rng.normal(scale=0.1, size=(len(texts), WIDTH - 2))
        vectors = np.column_stack([(first + numbers) / 1000, codes, noise]).astype(np.float32)
        pd.DataFrame({"text": texts, label: labels}).to_csv(folder / f"{name}.csv", index=False)
        np.save(folder / f"{name}.npy", vectors)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen")
    write_corpora(folder)
    write_params(
        folder,
        corpora={
            "target": {"path": "few.csv", "vectors": "few.npy"},
            "source": {"path": "many.csv", "label": "topic", "vectors": "many.npy"},
        },
        model=FROZEN,
        data={"limit": 40},
        samplers=["balanced"],
        arms=["cls_balanced"],
        seeds=[0],
        train={"epochs": 2, "batch_size": 16},
        finetune={"epochs": 1, "shares": [1.0], "tanh": [False]},
        splits=SPLITS,
    )
    for step in STEPS:
        finished = run(folder, *step)
        assert finished.returncode == 0, (step, finished.stderr)
    return folder


def test_every_text_of_every_split_has_its_own_vector(project: Path) -> None:
    layout = Layout(project)
    met = 0
    for name, entry in SPLITS.items():
        vectors = np.load(layout.text_vectors(entry["role"]))
        assert (vectors.dtype, vectors.shape[1]) == (np.float32, WIDTH)
        corpus = TokenizedCorpus.load(layout.split(Split(entry["role"], name)))
        for part in PARTS:
            rows = getattr(corpus, part)
            tokens = rows.tokens.whole()
            for row, text in enumerate(rows.texts):
                start, stop = tokens.offsets[row : row + 2]
                words = [corpus.vocabulary.tokens[token] for token in tokens.ids[start:stop]]
                # train texts have a number that the vocabulary knows
                numbers = [int(word) for word in words if word.isdigit()]
                if part == "train":
                    assert numbers
                if numbers:
                    assert vectors[text, 0] == pytest.approx(numbers[0] / 1000)
                    met += 1
                labels = corpus.label_names
                assert sorted(labels)[round(float(vectors[text, 1]))] == labels[rows.labels[row]]
    assert met > 100


def test_a_model_holds_its_projection_and_embeds_vectors_alone(project: Path) -> None:
    layout, split = Layout(project), Split("target", "target")
    training = Training(Arm(Family.CLASSIFICATION, "balanced"), split, 0)
    model = TrainedModel.load(layout.model(training))
    assert isinstance(model.encoder, FrozenEncoder)
    assert set(model.encoder.arrays()) == {"projection.weight", "projection.bias"}
    assert len(model.vocabulary) == 1
    test = TokenizedCorpus.load(layout.split(split)).test
    vectors = np.load(layout.text_vectors("target"))[test.texts]
    found = read_arrays(layout.embedding(training))
    np.testing.assert_array_equal(model.embed(vectors), found["embeddings"])
    embedder = TextEmbedder.load(layout.model(training))
    np.testing.assert_array_equal(
        embedder.predict(vectors), np.array(model.label_names)[found["head"]]
    )
    with pytest.raises(UserError, match="given vectors of width 6, not texts"):
        model.embed_texts(["apple bread"])


def test_the_transfer_starts_from_the_projection_of_the_source(project: Path) -> None:
    layout = Layout(project)
    vectors = TextVectors.load(layout.text_vectors("target"))
    corpus = TokenizedCorpus.load(layout.split(Split("target", "target")))
    corpus = corpus.by_text(len(vectors.values))
    arm = Arm(Family.METRIC, "balanced")
    source = TrainedModel.load(layout.model(Training(arm, Split("source", "source"), 0)))
    how = {"tanh": False, "model": Model(**FROZEN), "seed": 0, "vectors": vectors}
    encoder, _ = start(corpus, source, **how)
    scratch, _ = start(corpus, None, **how)
    assert torch.equal(encoder.projection.weight, source.encoder.projection.weight)
    assert not torch.equal(scratch.projection.weight, source.encoder.projection.weight)
    for made in (encoder, scratch):
        np.testing.assert_array_equal(made.weight.numpy(), vectors.values)
    before = vectors.values.copy()
    for tuning in TUNINGS:
        finetune(
            corpus, source, tuning=tuning, share=1.0, settings=Finetune(epochs=1),
            train=Train(batch_size=16), device=CPU, **how,
        )  # fmt: skip
        np.testing.assert_array_equal(vectors.values, before)
    curves = {init: pd.read_csv(layout.transfer(init)) for init in ("metric", "scratch")}
    for curve in curves.values():
        assert curve["tuning"].tolist() == ["frozen", "finetuned"]
        assert curve["test_accuracy"].between(0, 1).all()


def test_encoding_and_training_again_gives_the_same_bytes(project: Path) -> None:
    watched = [
        *(project / "data/encoded").iterdir(),
        *(project / "models/cls/target/target/balanced").rglob("*.*"),
    ]
    before = {path: path.read_bytes() for path in watched}
    assert len(before) == 5
    for step in (("encode",), STEPS[6]):
        assert run(project, *step).returncode == 0
    assert {path: path.read_bytes() for path in watched} == before


def corpora(folder: Path, **changed: object) -> dict[str, dict[str, object]]:
    return {
        "target": {"path": str(folder / "few.csv"), "vectors": "few.npy"},
        "source": {"path": str(folder / "many.csv"), "vectors": "many.npy"} | changed,
    }


def test_without_a_frozen_encoder_nothing_is_encoded(tmp_path: Path) -> None:
    encode_texts(Layout(tmp_path), {}, encoder="bag", vectors="some/model")
    assert [path.name for path in (tmp_path / "data/encoded").iterdir()] == ["about.json"]
    assert read_json(tmp_path / "data/encoded/about.json") == {"encoder": "bag"}


@pytest.mark.parametrize(
    ("many", "said"),
    [
        (None, r"corpora.source brings no vectors: add vectors to its mapping"),
        (np.zeros((103, 5)), r"corpora.target are 6 wide, but those of corpora.source 5"),
        (np.zeros((50, 6)), r"corpora.source brings 50 vectors, fewer than when it was read"),
        (np.full((103, 6), np.nan), r"the vectors of corpora.source hold NaN or infinity in row 0"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    project: Path, tmp_path: Path, many: np.ndarray | None, said: str
) -> None:
    for name in ("few.csv", "few.npy", "many.csv"):
        shutil.copy(project / name, tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to(project / "data/raw")
    given = corpora(tmp_path)
    if many is None:
        del given["source"]["vectors"]
    else:
        np.save(tmp_path / "many.npy", many)
    with pytest.raises(UserError, match=said):
        encode_texts(Layout(tmp_path), given, encoder="frozen", vectors=None)


def test_a_text_of_both_corpora_is_encoded_once(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str], **options: object) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    monkeypatch.setattr(
        frozen_module, "_opened", lambda name: (type("", (), {"encode": encode}), "abc")
    )
    for role in ("target", "source"):
        place = tmp_path / "data/raw" / role
        place.mkdir(parents=True)
        texts = ["both", f"only {role}"]
        pd.DataFrame({"text": texts}).to_parquet(place / "corpus.parquet")
    layout = Layout(tmp_path)
    encode_texts(layout, corpora(tmp_path), encoder="frozen", vectors="some/model")
    assert asked == [["both", "only target", "only source"]]
    for role in ("target", "source"):
        lengths = np.load(layout.text_vectors(role))[:, 0]
        assert lengths.tolist() == [len("both"), len(f"only {role}")]
    assert read_json(layout.encoded / "about.json") == {
        "encoder": "frozen", "vectors": "some/model", "sha256": "abc", "width": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"model": FROZEN, "loss": {"name": "invariant_spreading"}}, "compares altered copies"),
        ({"model": FROZEN | {"layer": "bag"}}, "set model.layer to linear"),
    ],
)
def test_a_mistake_ends_before_anything_is_trained(
    tmp_path: Path, sections: dict[str, dict[str, object]], said: str
) -> None:
    write_params(tmp_path, **sections)
    finished = run(tmp_path, "objectives")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith("error: ")
    assert said in finished.stderr.splitlines()[-1]
