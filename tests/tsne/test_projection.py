from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import unit
from textmetric.tsne import sample_rows, scarce_rows, tsne, tsne_each
from textmetric.tsne.projection import _leading, _neighbours, _principal_components

QUICK = {"early_iterations": 50, "iterations": 50}


def clusters(rows: int = 60, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    centres = 4 * random.normal(size=(classes, 8))
    return (centres[labels] + random.normal(size=(rows, 8))).astype(np.float32), labels


def digest(coordinates: np.ndarray) -> str:
    return hashlib.sha256(coordinates.tobytes()).hexdigest()


@pytest.mark.parametrize("points", [None, 10, 50])
def test_all_rows_are_chosen_if_there_are_at_most_points(points: int | None) -> None:
    rows = sample_rows(np.zeros(10, dtype=np.int32), points, seed=0)
    assert rows.dtype == np.int64
    assert rows.tolist() == list(range(10))


def test_the_sample_has_points_rows_in_ascending_order() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 1000)
    rows = sample_rows(labels, 123, seed=0)
    assert len(rows) == 123
    assert (np.diff(rows) > 0).all()


def test_classes_keep_their_proportions() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = sample_rows(labels, 100, seed=0)
    assert np.bincount(labels[rows]).tolist() == [60, 30, 10]


def test_small_classes_get_three_rows_and_those_in_keep_twelve() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [1000, 5, 2, 40, 6])
    rows = sample_rows(labels, 100, seed=0, keep=[3, 4])
    assert np.bincount(labels[rows])[1:].tolist() == [3, 2, 12, 6]
    assert len(rows) == 100


def test_a_large_class_in_keep_is_not_sampled_more_densely() -> None:
    labels = np.repeat([0, 1], [500, 500])
    rows = sample_rows(labels, 100, seed=0, keep=[1])
    assert np.bincount(labels[rows]).tolist() == [50, 50]


def test_the_minima_of_many_classes_may_exceed_points() -> None:
    labels = np.repeat(np.arange(200), 10)
    assert len(sample_rows(labels, 50, seed=0)) == 600


def test_class_ids_may_have_gaps_and_keep_may_name_absent_classes() -> None:
    labels = np.repeat([7, 100], [90, 10])
    rows = sample_rows(labels, 50, seed=0, keep=[3, 100])
    assert (labels[rows] == 100).sum() == 10


def test_the_seed_chooses_the_rows() -> None:
    labels = np.repeat([0, 1], 100)
    first, again, other = (sample_rows(labels, 20, seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_all_rows_of_a_class_are_equally_likely() -> None:
    labels = np.repeat([0, 1], 20)
    drawn = np.zeros(40)
    for seed in range(400):
        drawn[sample_rows(labels, 10, seed)] += 1
    assert np.abs(drawn - 100).max() < 45  # five standard deviations


def test_no_rows_give_an_empty_sample() -> None:
    assert sample_rows(np.zeros(0, dtype=np.int32), 5, seed=0).shape == (0,)


def test_points_below_one_is_an_error() -> None:
    with pytest.raises(UserError, match="points is 0, expected at least 1"):
        sample_rows(np.zeros(3, dtype=np.int32), 0, seed=0)


def test_nearest_points_of_a_map_are_of_the_same_class() -> None:
    embeddings, labels = clusters(120)
    coordinates = tsne(embeddings, perplexity=10)
    assert coordinates.shape == (120, 2)
    assert coordinates.dtype == np.float32
    distances = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.97


def test_lengths_of_the_rows_do_not_matter() -> None:
    embeddings, _ = clusters()
    # Powers of two scale floats exactly.
    longer = embeddings * 2.0 ** np.random.default_rng(0).integers(0, 4, (len(embeddings), 1))
    assert digest(tsne(longer, **QUICK)) == digest(tsne(embeddings, **QUICK))


def test_another_seed_gives_other_bytes() -> None:
    embeddings, _ = clusters()
    assert digest(tsne(embeddings, seed=3, **QUICK)) != digest(tsne(embeddings, seed=4, **QUICK))


OTHER_PROCESSOR = {
    "BLAS": {"OPENBLAS_CORETYPE": "Prescott"},
    "C library": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
    "numpy": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL"},
    "compiled loops": {"NUMBA_CPU_NAME": "generic"},
}
"""Settings with which a library computes as on a processor without AVX and FMA."""

DIGESTS = """
import hashlib, json, math
import numpy as np
from textmetric.measures import unit
from textmetric.tsne import projection
from textmetric.tsne.exact import joint_probabilities, kl_divergence

def digest(values):
    return hashlib.sha256(np.asarray(values).tobytes()).hexdigest()

# Whole numbers, so that many neighbours are equally far; and equal eigenvalues.
x = np.rint(np.random.default_rng(5).normal(size=(300, 8), scale=2)).astype("f4")
rows = unit(x)
start = projection._principal_components(rows)
symmetric = projection._principal_components(np.repeat(np.eye(8), 5, axis=0))
places = projection.tsne(x)
projection._MOST_EXACT_ROWS = 0
# In float64, where this few iterations show a difference in the last bit.
interpolated = projection._optimised(
    rows, start, perplexity=30, early_iterations=10, iterations=10, tick=lambda: None
)
joint = joint_probabilities(*projection._neighbours(rows, 90), 30)
found = {
    "BLAS": rows @ rows.T,
    "C library": [math.exp(one) for one in rows.ravel()],
    "numpy": np.exp(rows),
    "compiled loops": kl_divergence(places.astype(float), *joint),
    "start": np.concatenate([start, symmetric]),
    "map": places,
    "interpolated map": interpolated,
}
print(json.dumps({name: digest(values) for name, values in found.items()}))
"""


def digests_of_another_process(**environment: str) -> dict[str, str]:
    """What a process with these environment variables computes, by the library that does it."""
    process = subprocess.run(
        [sys.executable, "-c", DIGESTS],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(process.stdout)


def test_other_processes_and_processors_give_the_same_bytes() -> None:
    here = digests_of_another_process()
    embeddings = np.rint(np.random.default_rng(5).normal(size=(300, 8), scale=2)).astype("f4")
    assert here["map"] == digest(tsne(embeddings))

    settings = {key: value for one in OTHER_PROCESSOR.values() for key, value in one.items()}
    there = digests_of_another_process(**settings)
    for name in ("start", "map", "interpolated map"):
        assert there[name] == here[name], name
    same = [library for library in OTHER_PROCESSOR if there[library] == here[library]]
    if same:
        pytest.skip(f"the maps are equal, but {same} cannot compute as on another processor here")


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 6, 20])
def test_few_rows_get_finite_and_different_coordinates(rows: int) -> None:
    coordinates = tsne(clusters(20)[0][:rows], perplexity=30)
    assert coordinates.shape == (rows, 2)
    assert np.isfinite(coordinates).all()
    assert len(np.unique(coordinates, axis=0)) == rows


@pytest.mark.parametrize(
    "embeddings",
    [
        np.ones((50, 4)),
        np.zeros((50, 4)),
        np.repeat(np.eye(4), 30, axis=0),
        np.vstack([np.zeros((40, 4)), np.random.default_rng(0).normal(size=(40, 4))]),
        np.random.default_rng(0).normal(size=(50, 1)),
    ],
    ids=["all equal", "all zero", "many duplicates", "half zero", "one dimension"],
)
@pytest.mark.parametrize("most_exact", [12_000, 0], ids=["exact", "interpolated"])
def test_degenerate_embeddings_get_finite_coordinates(
    embeddings: np.ndarray, most_exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmetric.tsne.projection._MOST_EXACT_ROWS", most_exact)
    coordinates = tsne(embeddings, **QUICK)
    assert coordinates.shape == (len(embeddings), 2)
    assert np.isfinite(coordinates).all()


def test_the_same_seed_gives_the_same_interpolated_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textmetric.tsne.projection._MOST_EXACT_ROWS", 0)
    embeddings, labels = clusters(120)
    first, again = (tsne(embeddings, perplexity=10, seed=1) for _ in range(2))
    assert digest(first) == digest(again)
    distances = np.linalg.norm(first[:, None] - first[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.97


def test_embeddings_are_not_changed() -> None:
    embeddings, _ = clusters(10)
    before = embeddings.copy()
    tsne(embeddings, **QUICK)
    assert (embeddings == before).all()


@pytest.mark.parametrize(
    ("embeddings", "perplexity", "message"),
    [
        (np.array([[1.0, 0.0], [np.nan, 0.0]]), 30, "row 1 of the embeddings holds NaN"),
        (np.zeros(3), 30, r"embeddings have shape \(3,\)"),
        (np.zeros((9, 2)), 1, "perplexity is 1, expected more than 1"),
    ],
)
def test_bad_arguments_are_errors(embeddings: np.ndarray, perplexity: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tsne(embeddings, perplexity=perplexity)


def test_tsne_each_equals_tsne_for_any_number_of_processes() -> None:
    embeddings = [clusters(60, seed=seed)[0] for seed in range(3)]
    expected = [digest(tsne(one, seed=1, **QUICK)) for one in embeddings]
    for workers in (1, 2):
        found = tsne_each(embeddings, seed=1, workers=workers, **QUICK)
        assert [digest(one) for one in found] == expected


def test_importing_tsne_imports_neither_torch_nor_numba() -> None:
    code = "import sys, textmetric.tsne; sys.exit(bool({'torch', 'numba'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_neighbours_are_exact_and_do_not_include_the_row_itself() -> None:
    rows = unit(clusters(40)[0])
    found, distances = _neighbours(rows, 5)
    for row in range(40):
        expected = np.linalg.norm(rows - rows[row], axis=1)
        nearest = [other for other in np.argsort(expected) if other != row][:5]
        assert found[row].tolist() == nearest
        np.testing.assert_allclose(distances[row], expected[nearest], rtol=1e-12)


def test_equal_rows_are_neighbours_of_each_other_and_zero_rows_too() -> None:
    rows = np.vstack([np.zeros((4, 3)), np.repeat(np.eye(3)[:1], 4, axis=0), np.eye(3)[1:]])
    found, distances = _neighbours(rows, 3)
    assert [sorted(ids) for ids in found[:4].tolist()] == [
        [1, 2, 3],
        [0, 2, 3],
        [0, 1, 3],
        [0, 1, 2],
    ]
    assert [sorted(ids) for ids in found[4:8].tolist()] == [
        [5, 6, 7],
        [4, 6, 7],
        [4, 5, 7],
        [4, 5, 6],
    ]
    assert (distances[:8] == 0).all()
    np.testing.assert_allclose(distances[8:], np.sqrt(2))


@pytest.mark.parametrize("shape", [(2, 5), (4, 32), (50, 1), (300, 7), (60, 80)])
def test_principal_components_equal_those_of_a_singular_value_decomposition(
    shape: tuple[int, int],
) -> None:
    rows = unit(np.random.default_rng(0).normal(size=shape) * 0.6 ** np.arange(shape[1]) + 1)
    left, values, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = np.zeros((len(rows), 2))
    for place in range(min(2, *shape)):
        sign = np.sign(right[place, np.abs(right[place]).argmax()])
        expected[:, place] = sign * values[place] * left[:, place]
    np.testing.assert_allclose(_principal_components(rows), expected, atol=1e-4)


def test_components_with_almost_equal_eigenvalues_explain_almost_as_much() -> None:
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(20, 20)))[0]
    for values in (np.ones(20), 1 + 0.001 * np.arange(20), np.eye(20)[0], np.zeros(20)):
        matrix = (basis * values) @ basis.T
        axes = _leading(matrix)
        explained = np.trace(axes @ matrix @ axes.T)
        assert explained == pytest.approx(np.sort(values)[-2:].sum(), rel=0.003)
        if values.any():
            np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-9)


def test_the_bar_counts_iterations(capsys: pytest.CaptureFixture[str]) -> None:
    tsne_each([clusters()[0]] * 3, workers=2, progress=True, **QUICK)
    assert "6/6" in capsys.readouterr().err


def test_scarce_rows_are_those_of_several_scarce_labels() -> None:
    labels = np.array([0, 1, 2, 1, 3, 0])
    assert scarce_rows(labels, [1, 3]).tolist() == [1, 3, 4]
    assert scarce_rows(labels, [1]).tolist() == []
    assert scarce_rows(labels, []).tolist() == []
