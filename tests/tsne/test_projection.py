from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.measures import nearest_neighbours, unit
from textmetric.tsne import sample_rows, scarce_rows, tsne, tsne_each
from textmetric.tsne.projection import _neighbours

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


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import numpy as np, hashlib\n"
        "from textmetric.tsne.projection import tsne\n"
        "x = np.random.default_rng(5).normal(size=(300, 16)).astype('f4')\n"
        "y = tsne(x, early_iterations=50, iterations=50, seed=3)\n"
        "print(hashlib.sha256(y.tobytes()).hexdigest())"
    )
    printed = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    embeddings = np.random.default_rng(5).normal(size=(300, 16)).astype("f4")
    here = digest(tsne(embeddings, seed=3, **QUICK))
    assert [process.stdout.strip() for process in printed] == [here, here]
    assert digest(tsne(embeddings, seed=4, **QUICK)) != here


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
        (np.array([[1.0, 0.0], [np.nan, 0.0]]), 30, "embedding 1 has a value that is not finite"),
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
    embeddings, _ = clusters(40)
    rows = unit(embeddings).astype(np.float32)
    found, distances = _neighbours(rows, 5)
    expected = nearest_neighbours(rows, rows, 6)
    for row in range(40):
        others = [other for other in expected[row] if other != row][:5]
        assert found[row].tolist() == others
        np.testing.assert_allclose(
            distances[row], np.linalg.norm(rows[others] - rows[row], axis=1), atol=1e-3
        )


def test_the_bar_counts_iterations(capsys: pytest.CaptureFixture[str]) -> None:
    tsne_each([clusters()[0]] * 3, workers=2, progress=True, **QUICK)
    assert "6/6" in capsys.readouterr().err


def test_scarce_rows_are_those_of_several_scarce_labels() -> None:
    labels = np.array([0, 1, 2, 1, 3, 0])
    assert scarce_rows(labels, [1, 3]).tolist() == [1, 3, 4]
    assert scarce_rows(labels, [1]).tolist() == []
    assert scarce_rows(labels, []).tolist() == []
