from __future__ import annotations

import os
import platform
import subprocess
import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch

from textmetric.encoders import BagEncoder, arrays_of
from textmetric.grid import Family
from textmetric.inference import (
    Classifier,
    Linear,
    embed_tokens,
    embed_vectors,
    head_scores,
    head_shapes,
    layer_shapes,
)
from textmetric.losses import OBJECTIVES, ClassificationObjective, build

LAYERS = ("bag", "linear", "layernorm", "mlp")
ODD_LENGTHS = [0, 3, 1, 700, 0, 9, 300, 2, 2, 40, 41, 1]


def weights(layer: str, width: int, dim: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in layer_shapes(layer, width, dim).items()
    }


def texts(lengths: list[int], tokens: int = 50) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    ids = np.random.default_rng(2).integers(0, tokens, offsets[-1], dtype=np.int32)
    return ids, offsets


def vectors(width: int, tokens: int = 50) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(tokens, width)).astype(np.float32)


@pytest.mark.parametrize("layer", LAYERS)
def test_embeddings_are_those_of_the_torch_module(layer: str) -> None:
    torch.manual_seed(0)
    width, dim = 40, 40 if layer == "bag" else 24
    encoder = BagEncoder(50, dim, layer, width=width)
    lengths = [0, 1, 5, 30, *np.random.default_rng(0).integers(0, 12, 3000).tolist()]
    ids, offsets = texts(lengths)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(ids), torch.from_numpy(offsets[:-1])).numpy()
    arrays = arrays_of(encoder)
    found = embed_tokens(arrays.pop("weight"), ids, offsets, layer, arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    bags = embed_tokens(encoder.weight.detach().numpy(), ids, offsets, "bag", {})
    np.testing.assert_array_equal(embed_vectors(bags, layer, arrays), found)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == layer_shapes(layer, width, dim)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("width", [1, 2, 33, 256])
def test_the_embedding_of_a_text_does_not_depend_on_the_others(layer: str, width: int) -> None:
    lengths = [*ODD_LENGTHS, *np.random.default_rng(0).integers(0, 9, 700).tolist()]
    ids, offsets = texts(lengths)
    table, dim = vectors(width), width if layer == "bag" else 21
    arrays = weights(layer, width, dim)
    together = embed_tokens(table, ids, offsets, layer, arrays)
    for row in [*range(len(ODD_LENGTHS)), 99, 500, len(lengths) - 1]:
        own = ids[offsets[row] : offsets[row + 1]]
        alone = embed_tokens(table, own, np.array([0, len(own)]), layer, arrays)
        np.testing.assert_array_equal(alone[0], together[row])
    some = embed_vectors(table, layer, arrays)
    np.testing.assert_array_equal(embed_vectors(table[7:8], layer, arrays)[0], some[7])


def test_bags_are_summed_token_by_token() -> None:
    # 1 is lost next to 2^24, unless the ones are added up first
    table = np.array([[2.0**24], [1], [-(2.0**24)]], dtype=np.float32)
    ids = np.array([0, *[1] * 40, 2], dtype=np.int32)
    for copies in (1, 9):
        offsets = np.arange(copies + 1) * len(ids)
        found = embed_tokens(table, np.tile(ids, copies), offsets, "bag", {})
        assert found.tolist() == [[0.0]] * copies


PROGRAM = """
import hashlib
import numpy as np
from textmetric.inference import embed_vectors, layer_shapes
rng = np.random.default_rng(0)
for layer in ("linear", "layernorm", "mlp"):
    shapes = layer_shapes(layer, 100, 33)
    weights = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    found = embed_vectors(rng.normal(size=(300, 100)).astype("f4"), layer, weights)
    print(hashlib.sha256(found.tobytes()).hexdigest())
"""


def test_embeddings_are_the_same_on_every_processor_and_number_of_threads() -> None:
    settings = [{"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}]
    if platform.machine() == "x86_64":
        settings.append({"OPENBLAS_CORETYPE": "Nehalem"})
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, **setting},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for setting in settings
    }
    assert len(printed) == 1


@pytest.mark.parametrize("width", [1, 2, 32, 33, 500])
def test_a_product_is_exact_but_for_the_rounding_of_its_operands(width: int) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, width)).astype(np.float32), np.zeros(3)
    # from rows of one size to rows in which a value outweighs the others
    inputs = (rng.normal(size=(40, width)) * 10 ** rng.uniform(-6, 6, (40, width))).astype("f4")
    found = Linear(weight, bias)(inputs)
    exact = inputs.astype(np.float64) @ weight.T.astype(np.float64)
    largest = np.abs(inputs).max(axis=1)[:, None] * np.abs(weight).max(axis=1)
    assert (np.abs(found - exact) / largest).max() < np.sqrt(width) * 2.0**-21
    # of one sign and size, so that the sums need all bits
    even = rng.uniform(0.5, 1, (5, width)).astype(np.float32)
    plain = rng.uniform(0.5, 1, (3, width)).astype(np.float32)
    order = rng.permutation(width)
    for rows, columns in ((inputs, weight), (even, plain)):
        product = Linear(columns, bias)(rows)
        np.testing.assert_array_equal(Linear(columns[:, order], bias)(rows[:, order]), product)
    if width <= 32:  # 24 bits each: nothing is rounded
        for row, products in zip(even.tolist(), Linear(plain, bias)(even).tolist(), strict=True):
            terms = [map(Fraction.__mul__, map(Fraction, row), map(Fraction, other))
                     for other in plain.tolist()]  # fmt: skip
            assert products == [float(sum(each)) for each in terms]


def test_products_of_tiny_huge_and_zero_rows_are_finite() -> None:
    weight = np.array([[1e-45, 0], [3e38, 3e38], [0, 0]], dtype=np.float32)
    rows = np.array([[1e-45, 1e-45], [0, 0], [1, 2], [3e38, 1]], dtype=np.float32)
    found = Linear(weight, np.array([1.0, 2.0, 3.0]))(rows)
    np.testing.assert_allclose(
        found, rows.astype(float) @ weight.T.astype(float) + [1, 2, 3], rtol=1e-6
    )


def test_weights_that_training_has_ruined_give_nan_and_no_warning() -> None:
    ids, offsets = texts([2, 3])
    for value in (np.nan, np.inf, 3e38):
        for layer in LAYERS:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                table = np.full((50, 4), value, dtype=np.float32)
                found = embed_tokens(table, ids, offsets, layer, weights(layer, 4, 4))
            assert not np.isfinite(found).all() or layer == "layernorm"


def test_a_token_without_a_vector_is_an_error() -> None:
    for wrong in (-1, 50):
        with pytest.raises(IndexError, match="outside the 50 token vectors"):
            embed_tokens(vectors(4), np.array([wrong, 1], np.int32), np.array([0, 2]), "bag", {})


@pytest.mark.parametrize("name", OBJECTIVES[Family.CLASSIFICATION])
def test_every_head_scores_as_its_torch_module(name: str) -> None:
    torch.manual_seed(0)
    rows = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    rows[3] = 0
    given = [{}, {"layer_norm": False, "temperature": 0.5}] if name == "norm_softmax" else [{}]
    for parameters in given:
        objective = {"name": name, **parameters}
        head = build(Family.CLASSIFICATION, objective, dim=8, classes=5)
        assert isinstance(head, ClassificationObjective)
        expected = head.logits(torch.from_numpy(rows)).detach().numpy()
        arrays = arrays_of(head)
        np.testing.assert_allclose(
            head_scores(objective, arrays, rows), expected, rtol=1e-5, atol=1e-5
        )
        shapes = {label: array.shape for label, array in arrays.items()}
        assert shapes == head_shapes(name, 5, 8)
        classifier = Classifier(objective, arrays, None, np.zeros((5, 8), np.float32))
        np.testing.assert_allclose(classifier.scores(rows), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(expected.argmax(axis=1), classifier.predict(rows))


def test_an_absent_class_has_no_chance_by_the_centroids() -> None:
    centroids = np.array([[2, 0], [np.nan, np.nan], [0, 1]], dtype=np.float32)
    classifier = Classifier({"name": "triplet"}, {}, None, centroids)
    rows = np.array([[3, 4], [0, 0]], dtype=np.float32)
    np.testing.assert_allclose(classifier.scores(rows), [[0.6, -np.inf, 0.8], [0, -np.inf, 0]])
