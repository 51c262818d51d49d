from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmetric.errors import UserError
from textmetric.sampling.draws import (
    apportion,
    first_of_each,
    rows_of_each,
    share_of_label,
    share_of_rows,
)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 200),
)
def test_apportioned_shares_are_bounded_and_add_up(
    rows: list[tuple[int, int, int]], total: int
) -> None:
    least, most, counts = np.sort(rows, axis=1).T
    share = apportion(counts, total, least, most)
    assert (least <= share).all()
    assert (share <= most).all()
    assert share.sum() == min(max(total, least.sum()), most.sum())


def test_unbounded_shares_differ_from_the_quota_by_less_than_one() -> None:
    counts = np.array([7, 13, 29, 51])
    share = apportion(counts, 33, np.zeros(4, dtype=np.int64), counts)
    assert (abs(share - 33 * counts / 100) < 1).all()


def test_equal_remainders_go_to_the_lower_class() -> None:
    # 2.2 and 3.3 rows: ten of the twenty larger classes get a row more. A sort of this many equal
    # values alone would keep their order even if it were not stable.
    counts = np.tile([4, 6], 20)
    share = apportion(counts, 110, np.zeros(40, dtype=np.int64), counts)
    assert share.tolist() == [2, 4] * 10 + [2, 3] * 10


def test_what_a_bound_adds_to_one_class_is_taken_from_the_class_nearest_above_its_quota() -> None:
    counts, least = np.array([1, 50, 49]), np.array([2, 0, 0])
    # quotas 0.1, 5 and 4.9, so shares of 2, 5 and 4 before one is taken back
    assert apportion(counts, 10, least, most=np.array([2, 50, 49])).tolist() == [2, 4, 4]


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 9))
def test_the_first_rows_of_each_class_equal_those_of_a_loop(labels: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    share = generator.integers(0, 6, size=5)
    classes = np.array(labels, dtype=np.int64)
    some = generator.permutation(len(labels))[: 3 * len(labels) // 4]
    expected, left = [], share.tolist()
    for row in some.tolist():
        if left[labels[row]] > 0:
            left[labels[row]] -= 1
            expected.append(row)
    assert first_of_each(some, classes, share).tolist() == sorted(expected)


LABELS = np.repeat([0, 1, 2, 3], [400, 60, 30, 1]).astype(np.int32)


@pytest.mark.parametrize(
    ("share", "rows"), [(1.0, [400, 60, 30, 1]), (0.11, [44, 7, 3, 1]), (0.01, [4, 2, 2, 1])]
)
def test_a_share_takes_its_part_of_every_label_and_at_least_two_rows(
    share: float, rows: list[int]
) -> None:
    chosen = share_of_rows(LABELS, share, seed=0)
    assert np.bincount(LABELS[chosen]).tolist() == rows
    assert (np.diff(chosen) > 0).all()


def test_the_rows_of_a_smaller_share_are_among_those_of_a_larger_one() -> None:
    small, large, all_rows = (
        set(share_of_rows(LABELS, share, 7).tolist()) for share in (0.01, 0.1, 1.0)
    )
    assert small < large < all_rows == set(range(len(LABELS)))


def test_every_seed_chooses_other_rows() -> None:
    one, two, other = (share_of_rows(LABELS, 0.1, seed).tolist() for seed in (0, 0, 1))
    assert one == two
    assert one != other


def test_the_rows_of_a_label_depend_on_no_other_label() -> None:
    alone = share_of_rows(LABELS[:400], 0.1, seed=0)
    assert alone.tolist() == share_of_rows(LABELS, 0.1, seed=0)[:40].tolist()
    assert sorted(share_of_label(LABELS, 0, 0.1, seed=0).tolist()) == alone.tolist()


def test_the_chosen_rows_do_not_change_between_versions() -> None:
    assert share_of_label(LABELS, 1, 0.05, seed=3).tolist() == [413, 456, 431]


def test_no_rows_give_no_rows() -> None:
    assert share_of_rows(np.empty(0, dtype=np.int32), 0.1, seed=0).tolist() == []


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_out_of_range_is_named(share: float) -> None:
    with pytest.raises(UserError, match=r"share is .*, expected a share above 0 and at most 1"):
        share_of_rows(LABELS, share, seed=0)


def test_as_many_rows_of_each_label_and_more_contain_fewer() -> None:
    labels = np.array([0, 1, 1, 0, 1, 1, 1, 0, 2, 2])
    few, more = rows_of_each(labels, 2, seed=3), rows_of_each(labels, 4, seed=3)
    assert np.bincount(labels[few]).tolist() == [2, 2, 2]
    assert np.bincount(labels[more]).tolist() == [3, 4, 2]
    assert set(few) < set(more)
    assert (np.diff(more) > 0).all()
    drawn = {tuple(rows_of_each(labels, 2, seed)) for seed in range(20)}
    assert len(drawn) > 5
    with pytest.raises(UserError, match="rows of each label is 1, expected 2 or more"):
        rows_of_each(labels, 1, seed=0)
