from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.tsne import place, placement, sample_rows, tsne


def example() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 6, 900)
    return (random.normal(size=(6, 8))[labels] * 2 + random.normal(size=(900, 8))), labels


def agreement(rows: np.ndarray, sample: np.ndarray, places: np.ndarray, shown: np.ndarray) -> float:
    """Share of the 20 nearest sample rows in the space that are among the 20 nearest on the map."""
    found = []
    units = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (rows, sample)]
    for unit, there in zip(units[0], places, strict=True):
        near = np.argsort(-units[1] @ unit)[:20]
        drawn = np.argsort(((shown - there) ** 2).sum(axis=1))[:20]
        found.append(len(np.intersect1d(near, drawn)) / 20)
    return float(np.mean(found))


def test_placed_rows_are_near_their_neighbours() -> None:
    embeddings, labels = example()
    drawn = sample_rows(labels, 300, 0)
    sample, rest = embeddings[drawn], np.delete(embeddings, drawn, axis=0)
    shown = tsne(sample, perplexity=20, early_iterations=100, iterations=250)
    placed = place(rest, sample, shown)
    assert placed.shape == (600, 2)
    assert placed.dtype == np.float32
    of_placed = agreement(rest, sample, placed, shown)
    at_random = np.random.default_rng(1).permutation(placed)
    assert of_placed > 3 * agreement(rest, sample, at_random, shown)
    # A map shows the neighbours of its own rows no better.
    assert of_placed > 0.9 * agreement(sample, sample, shown, shown)


def test_rows_of_a_mapped_file_are_placed_by_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, _ = example()
    np.save(tmp_path / "rows.npy", embeddings.astype(np.float32))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    sample, shown = mapped[:50], np.random.default_rng(0).normal(size=(50, 2))
    whole = place(mapped, sample, shown)
    monkeypatch.setattr(placement, "_AT_ONCE", 7)
    np.testing.assert_array_equal(place(mapped, sample, shown), whole)


def test_a_row_of_the_sample_alone_decides_with_one_neighbour() -> None:
    sample, shown = np.eye(3), np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    np.testing.assert_array_equal(place(sample[[2, 0]], sample, shown, neighbours=1), shown[[2, 0]])
    # All three of a smaller sample, and zero rows are placed too.
    assert place(np.zeros((1, 3)), sample, shown).tolist() == [[2.0, 3.0]]
    assert place(np.zeros((0, 3)), sample, shown).shape == (0, 2)


@pytest.mark.parametrize(
    ("sample", "shown", "neighbours", "message"),
    [
        (np.eye(3), np.zeros((2, 2)), 1, r"shape \(2, 2\), expected \(3, 2\)"),
        (np.zeros((0, 3)), np.zeros((0, 2)), 1, "one row or more"),
        (np.eye(3), np.zeros((3, 2)), 0, "neighbours is 0"),
        (np.eye(4), np.zeros((4, 2)), 1, "queries have width 3, expected 4"),
    ],
)
def test_what_cannot_be_placed_is_an_error(
    sample: np.ndarray, shown: np.ndarray, neighbours: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        place(np.ones((1, 3)), sample, shown, neighbours=neighbours)


def test_rows_are_where_opentsne_puts_new_points() -> None:
    initialization = pytest.importorskip("openTSNE.initialization")
    embeddings, _ = example()
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    sample, rest = units[:200], units[200:]
    shown = np.random.default_rng(0).normal(size=(200, 2))
    nearest = np.argsort(-rest @ sample.T, axis=1)[:, :10]
    expected = initialization.median(shown, nearest, None)
    np.testing.assert_allclose(place(rest, sample, shown), expected, rtol=1e-6)


def test_a_broken_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_AT_ONCE", 2)
    rows = np.ones((9, 3))
    rows[7, 1] = np.nan
    with pytest.raises(UserError, match="row 7 of the embeddings holds NaN"):
        place(rows, np.eye(3), np.zeros((3, 2)))


def test_the_example_runs() -> None:
    assert doctest.testmod(placement).failed == 0
