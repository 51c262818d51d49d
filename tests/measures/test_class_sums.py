from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmetric.errors import UserError
from textmetric.measures import (
    ClassSums,
    centroid_cosines,
    class_centroids,
    clustering,
    cohesion,
    few_shot,
    verification,
)


def by_loop(embeddings: np.ndarray, labels: np.ndarray, classes: int) -> tuple[list, list]:
    """Cohesion as the mean over pairs, and centroids as the mean over rows."""
    units = [row / np.linalg.norm(row) if row.any() else row for row in embeddings.astype(float)]
    within, centroids = [], []
    for class_id in range(classes):
        of_class = [u for u, label in zip(units, labels, strict=True) if label == class_id]
        pairs = [float(np.dot(a, b)) for i, a in enumerate(of_class) for b in of_class[:i]]
        within.append(np.mean(pairs) if pairs else np.nan)
        none = np.full(embeddings.shape[1], np.nan)
        centroids.append(np.mean(of_class, axis=0) if of_class else none)
    return within, centroids


@settings(deadline=None)
@given(
    st.integers(0, 10_000), st.integers(0, 40), st.integers(1, 5),
    st.lists(st.integers(0, 40), max_size=4),
)  # fmt: skip
def test_sums_of_parts_merge_to_those_of_all_rows_whatever_the_parts(
    seed: int, rows: int, classes: int, cuts: list[int]
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    embeddings = random.normal(size=(rows, 3)).astype(np.float32)
    embeddings[::7] = 0
    ends = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    parts = [ClassSums.of(embeddings[a:b], labels[a:b], classes + 1) for a, b in pairwise(ends)]
    merged = reduce(ClassSums.merge, random.permutation(np.array(parts, dtype=object)))
    merged = pickle.loads(pickle.dumps(merged))
    within, centroids = by_loop(embeddings, labels, classes + 1)
    assert merged.counts.sum() == rows
    np.testing.assert_allclose(merged.cohesion(), within, atol=1e-12)
    np.testing.assert_allclose(merged.centroids(), centroids, atol=1e-12)


def test_one_part_gives_the_bits_of_the_functions() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 9, 20_000)
    embeddings = random.normal(size=(20_000, 8)).astype(np.float32)
    sums = ClassSums.of(embeddings, labels, 9)
    np.testing.assert_array_equal(sums.cohesion(), cohesion(embeddings, labels, 9))
    np.testing.assert_array_equal(sums.centroids(), class_centroids(embeddings, labels, 9))
    nothing = ClassSums.of(embeddings[:0], labels[:0], 9)
    np.testing.assert_array_equal((nothing + sums).sums, sums.sums)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5)])
def test_sums_of_other_classes_or_widths_do_not_merge(shape: tuple[int, int]) -> None:
    rows, width = shape
    one = ClassSums.of(np.eye(2, 4), np.zeros(2, dtype=int), 2)
    other = ClassSums.of(np.ones((1, width)), np.zeros(1, dtype=int), rows)
    with pytest.raises(UserError, match=r"cannot be added to those of shape \(2, 4\)"):
        one + other


ROWS, WIDTH = 200_000, 32


@pytest.mark.parametrize(
    "measure",
    [
        lambda rows, labels: cohesion(rows, labels, 5),
        lambda rows, labels: centroid_cosines(class_centroids(rows, labels, 5)),
        lambda rows, labels: clustering(rows, labels, starts=1, most=300),
        lambda rows, labels: verification(rows, labels, most=500),
        lambda rows, labels: few_shot(rows, labels, episodes=20),
    ],
    ids=["cohesion", "separation", "clustering", "verification", "few shots"],
)
def test_a_mapped_file_is_never_copied_whole(
    tmp_path: Path, measure: Callable[[np.ndarray, np.ndarray], object]
) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "rows.npy", random.normal(size=(ROWS, WIDTH)).astype(np.float32))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    labels = random.integers(0, 5, ROWS)
    measure(mapped[:1000], labels[:1000])  # what is imported at the first call
    tracemalloc.start()
    measure(mapped, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ROWS * WIDTH * 8 / 2  # half of a copy in double precision


@pytest.mark.parametrize("measure", [clustering, verification, few_shot])
def test_a_broken_row_is_found_though_it_is_not_drawn(measure: Callable[..., object]) -> None:
    embeddings, labels = np.ones((30_000, 2)), np.arange(30_000) % 3
    embeddings[29_999] = np.nan
    with pytest.raises(UserError, match="row 29999 of the embeddings holds NaN"):
        measure(embeddings, labels)
