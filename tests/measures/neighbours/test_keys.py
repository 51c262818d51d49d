from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.measures.neighbours import slowly
from textmetric.measures import unit
from textmetric.measures.neighbours.keys import all_distances, exact_rows, order


@pytest.mark.parametrize("width", [1, 2, 32, 64, 1000])
def test_sums_of_products_of_the_parts_have_no_rounding(width: int) -> None:
    embeddings = np.random.default_rng(0).normal(size=(2, width))
    embeddings[1] = np.sign(embeddings[0]) + 1e-7 * embeddings[1]  # the largest sums
    parts = exact_rows(np.vstack([embeddings, np.sign(embeddings)]))
    np.testing.assert_allclose(
        parts[:2, :width] + parts[:2, width:-1],
        unit(embeddings),
        atol=1e-14 if width > 64 else 1e-15,
    )
    high, low = (
        [[Fraction(value) for value in row] for row in part]
        for part in (parts[:, :width], parts[:, width:-1])
    )
    for one in range(4):
        for other in range(4):
            pairs = list(zip(high[one] + low[one], low[other] + high[other], strict=True))
            for some in (
                list(zip(high[one], high[other], strict=True)),
                pairs,
                list(zip(low[one], low[other], strict=True)),
            ):
                exact = sum(a * b for a, b in some)
                assert Fraction(float(exact)) == exact
                assert sum(abs(a * b) for a, b in some) < 2


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("width", [1, 2, 33])
def test_distances_are_precise_however_close_the_rows_are(width: int, spread: float) -> None:
    rows = slowly.collapsed(0, 60, width, spread)
    parts = exact_rows(rows)
    np.testing.assert_allclose(
        all_distances(parts, parts), slowly.distances(rows, rows), rtol=1e-7, atol=1e-22
    )


def test_distances_are_the_same_for_any_order_of_the_coordinates_and_shape_of_the_product() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 37)).astype(np.float32)
    parts, turned = exact_rows(rows), exact_rows(rows[:, ::-1])
    whole = all_distances(parts, parts)
    np.testing.assert_array_equal(all_distances(turned, turned), whole)
    np.testing.assert_array_equal(all_distances(parts[7:8], parts), whole[7:8])
    np.testing.assert_array_equal(exact_rows(3 * rows.astype(np.float64)), parts)


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_the_order_is_that_of_a_stable_sort(seed: int, size: int) -> None:
    # Several agree in all bits that are not replaced by the place.
    random = np.random.default_rng(seed)
    plain = random.choice([0.0, 1e-13, 0.25, 1.0, 2.0, np.inf], size=(4, size))
    plain *= 1 + random.choice([0, 1, 2], size=(4, size)) * 2.0**-45
    expected = np.argsort(plain, axis=1, kind="stable")
    rounded = plain * (1 + random.choice([0, 1, -1], size=(4, size)) * 2.0**-52)
    np.testing.assert_array_equal(order(rounded, size), expected)


def test_codes_at_the_same_hamming_distance_tie() -> None:
    codes = np.random.default_rng(0).choice([-1.0, 1.0], size=(200, 48))
    parts = exact_rows(codes)
    distances = all_distances(parts, parts)
    order(distances, 1)
    hamming = (codes[:, None] != codes).sum(axis=2)
    for apart in np.unique(hamming):
        assert len(np.unique(distances[hamming == apart])) == 1
