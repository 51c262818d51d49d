"""A saved model in use: the same results as where it was trained, without what trained it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textmetric
from textmetric import TextEmbedder, search
from textmetric.errors import UserError
from textmetric.measures import nearest_neighbours
from textmetric.runtime import Model

TEXTS = ["green apple pie", "red apple juice", "fast red car", "slow green bus", "red bus lane"]
LABELS = ["food", "food", "road", "road", "road"]
NEW = ["apple", "", "nothing known", "red pie " * 500, "a green\ud800 car \udfff", "BUS!"]
VALUES = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
SMALL: dict[str, Any] = {
    "dim": 4, "epochs": 2, "batch_size": 4, "lr": 0.1, "start": "uniform",
}  # fmt: skip
CLASSIFIERS = {
    "head": {"objective": "cross_entropy"},
    "normalised head": {
        "objective": "norm_softmax", "objective_params": {"layer_norm": False, "temperature": 1},
    },
    "default head": {"objective": "norm_softmax"},
    "logistic": {"objective": "triplet", "classifier": "logistic"},
    "centroid": {"objective": "triplet", "classifier": "centroid"},
}  # fmt: skip


def saved(folder: Path, classifier: str = "head", **parameters: Any) -> TextEmbedder:
    embedder = TextEmbedder(**SMALL, **CLASSIFIERS[classifier], **parameters)
    embedder.fit(VALUES if embedder.encoder == "frozen" else TEXTS, LABELS)
    embedder.save(folder)
    return embedder


def assert_same(model: Model, embedder: TextEmbedder, texts: Any) -> None:
    np.testing.assert_array_equal(model.transform(texts), embedder.transform(texts))
    labels = model.predict(texts, reject="unknown")
    np.testing.assert_array_equal(labels, embedder.predict(texts, reject="unknown"))
    np.testing.assert_array_equal(model.decision_function(texts), embedder.decision_function(texts))
    chances = model.predict_proba(texts)
    np.testing.assert_array_equal(chances, embedder.predict_proba(texts))
    known = labels != "unknown"
    names = np.array(model.label_names)[chances.argmax(axis=1)]
    np.testing.assert_array_equal(names[known], labels[known])


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("tokenizer", ["words", "basic_english", "basic_english_ngrams"])
@pytest.mark.parametrize("layer", ["bag", "linear", "layernorm", "mlp"])
def test_it_embeds_and_predicts_as_the_estimator_does(
    layer: str, tokenizer: str, classifier: str, tmp_path: Path
) -> None:
    embedder = saved(tmp_path / "model", classifier, layer=layer, tokenizer=tokenizer)
    model = textmetric.load(tmp_path / "model")
    assert (model.dim, model.label_names) == (4, ["food", "road"])
    assert_same(model, embedder, [*TEXTS, *NEW])
    assert_same(model, TextEmbedder.load(tmp_path / "model"), [*TEXTS, *NEW])


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("layer", ["linear", "layernorm", "mlp"])
def test_a_frozen_encoder_takes_vectors(layer: str, classifier: str, tmp_path: Path) -> None:
    embedder = saved(tmp_path / "model", classifier, layer=layer, encoder="frozen")
    model = textmetric.load(tmp_path / "model")
    assert_same(model, embedder, VALUES.astype(np.float64))
    with pytest.raises(UserError, match=r"embeds given vectors, not texts.*\(n, 6\)"):
        model.transform(TEXTS)
    with pytest.raises(UserError, match=r"made for \(n, 6\)"):
        model.transform(VALUES[:, :5])
    with pytest.raises(UserError, match="NaN or infinity in row 0"):
        model.transform(VALUES * np.nan)


def test_a_sentence_encoder_is_named_with_the_extras_that_run_it(tmp_path: Path) -> None:
    embedder = saved(tmp_path / "model", layer="linear", encoder="frozen")
    recipe = embedder.model_.recipe
    encoder = recipe.model.model_copy(update={"vectors": "some/encoder"})
    embedder.model_.recipe = recipe.model_copy(update={"model": encoder})
    embedder.save(tmp_path / "model")
    model = textmetric.load(tmp_path / "model")
    with pytest.raises(UserError, match=r"encoder some/encoder.*extras train and pretrained"):
        model.transform(TEXTS)
    np.testing.assert_array_equal(model.transform(VALUES), embedder.transform(VALUES))


def test_a_text_without_a_known_token_is_zero_and_no_text_is_no_row(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    model = textmetric.load(tmp_path / "model")
    assert not model.transform(["", "nothing known"]).any()
    assert model.transform([]).shape == (0, 4)
    assert model.predict([]).shape == (0,)
    assert model.predict_proba([]).shape == (0, 2)
    assert model.similarity([], TEXTS).shape == (0, 5)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("one text", "texts is one string"),
        (["a", 3], "text 1 is 3, expected a string"),
        (None, "texts is a NoneType"),
        ({"a": 1}, "texts is a dict"),
        (VALUES, "ndarray"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(texts: Any, said: str, tmp_path: Path) -> None:
    saved(tmp_path / "model")
    with pytest.raises(UserError, match=said):
        textmetric.load(tmp_path / "model").transform(texts)


def test_similarity_is_the_cosine(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    model = textmetric.load(tmp_path / "model")
    found = model.similarity(TEXTS, [*TEXTS, "unknown"])
    a = model.transform(TEXTS).astype(np.float64)
    lengths = np.linalg.norm(a, axis=1)
    np.testing.assert_allclose(found[:, :5], a @ a.T / np.outer(lengths, lengths), atol=1e-12)
    assert not found[:, 5].any()
    np.testing.assert_array_equal(model.similarity(model.transform(TEXTS), TEXTS), found[:, :5])


def test_neighbours_are_those_of_the_measures(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    model = textmetric.load(tmp_path / "model")
    for index in (model.index(TEXTS), model.index(model.transform(TEXTS))):
        assert len(index) == 5
        rows, cosines = index.neighbors(NEW, k=3)
        expected = nearest_neighbours(model.transform(TEXTS), model.transform(NEW), 3)
        np.testing.assert_array_equal(rows, expected)
        similar = np.take_along_axis(model.similarity(NEW, TEXTS), rows, axis=1)
        np.testing.assert_allclose(cosines, similar, atol=1e-12)
        assert index.neighbors(model.transform(NEW), k=99).rows.shape == (6, 5)
    with pytest.raises(UserError, match="k is 0"):
        index.neighbors(NEW, k=0)
    with pytest.raises(UserError, match="the index is empty"):
        model.index([]).neighbors(NEW)
    with pytest.raises(UserError, match="5 wide, but those of the model 4"):
        index.neighbors(np.ones((2, 5)))


def test_few_queries_find_the_rows_that_many_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "model")
    model = textmetric.load(tmp_path / "model")
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(500, 4)).astype(np.float32)
    collapsed = (1 + 1e-7 * spread).astype(np.float32)  # float32 tells few of the cosines apart
    repeated = np.tile(spread[:9] * np.float32(1e30), (20, 1))
    repeated[[3, 50]] = 0
    for rows in (spread, collapsed, repeated):
        index, asked = model.index(rows), np.concatenate([rows[::7], np.zeros((1, 4), "f4")])
        for k in (1, 3, len(rows)):
            found = index.neighbors(asked, k)
            np.testing.assert_array_equal(found.rows, nearest_neighbours(rows, asked, k))
            with monkeypatch.context() as patch:
                patch.setattr(search, "_FEW_QUERIES", 0)
                np.testing.assert_array_equal(index.neighbors(asked, k).cosines, found.cosines)


MANY_TEXTS, MANY_ROWS = 30_000, 3_000
PROGRAM = """
import sys
for name in ("torch", "numba", "llvmlite", "pydantic", "scipy", "sklearn", "pandas", "pyarrow",
             "tqdm", "requests", "yaml", "ruamel", "threadpoolctl", "matplotlib", "tokenizers"):
    sys.modules[name] = None
import numpy as np
import textmetric
folder, many_texts, many_rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
texts = np.load(f"{folder}/texts.npy").tolist()
model = textmetric.load(f"{folder}/model")
found = model.transform(texts[:many_texts])
np.savez(
    f"{folder}/found.npz", embeddings=found, labels=model.predict(texts[:9]),
    rows=model.index(found[:many_rows]).neighbors(texts[:300], k=5).rows,
)
known = {*sys.stdlib_module_names, "numpy", "safetensors", "textmetric", "__main__"}
# what start-up files of the environment load is not ours
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module}
print(sorted(name for name in loaded - known if not name.startswith(("_", "site", "distutils"))))
"""


def test_it_needs_nothing_but_numpy_and_safetensors(tmp_path: Path) -> None:
    embedder = saved(tmp_path / "model", tokenizer="basic_english")
    rng = np.random.default_rng(0)
    words = [*" ".join(TEXTS).split(), "unknown", "Bus,"]
    texts = [" ".join(rng.choice(words, 7)) for _ in range(MANY_TEXTS)]
    np.save(tmp_path / "texts.npy", texts)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path, str(MANY_TEXTS), str(MANY_ROWS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    # many texts and rows are numbered and searched by compiled code here
    embeddings = embedder.transform(texts)
    np.testing.assert_array_equal(found["embeddings"], embeddings)
    np.testing.assert_array_equal(found["labels"], embedder.predict(texts[:9]))
    near = nearest_neighbours(embeddings[:MANY_ROWS], embeddings[:300], 5)
    np.testing.assert_array_equal(found["rows"], near)
    assert done.stdout == "[]\n"


def test_a_tokenizer_that_needs_a_package_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = saved(tmp_path / "model")
    from textmetric.text import Vocabulary
    from textmetric.text.tokenizer import given_tokenizer

    tokens = embedder.model_.vocabulary.tokens
    embedder.model_.vocabulary = Vocabulary(tokens, given_tokenizer('{"a definition": 1}'))
    embedder.save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    model = textmetric.load(tmp_path / "model")
    with pytest.raises(UserError, match="needs the package tokenizers"):
        model.transform(TEXTS)
