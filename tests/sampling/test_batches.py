from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.grid import SAMPLERS
from textmetric.sampling.batches import (
    BatchSampler,
    Deck,
    WindowSampler,
    steps_per_epoch,
    window_bounds,
)
from textmetric.types import Int64


def even(classes: int, rows: int) -> Int64:
    return np.arange(classes * rows) % classes


def long_tail(classes: int, smallest: int) -> Int64:
    sizes = np.maximum(smallest, 400 // np.arange(1, classes + 1))
    return np.random.default_rng(0).permutation(np.repeat(np.arange(classes), sizes))


def epochs(sampler: BatchSampler, count: int) -> list[Int64]:
    return [batch for _ in range(count) for batch in sampler.epoch()]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("rows", [4, 63, 64, 65, 640, 1001])
def test_an_epoch_has_as_many_steps_for_every_sampler(sampler: str, rows: int) -> None:
    batches = BatchSampler(sampler, np.arange(rows) % 2, 64, seed=0)
    expected = -(-rows // 64)
    assert steps_per_epoch(rows, 64) == batches.steps == expected
    assert [len(list(batches.epoch())) for _ in range(3)] == [expected] * 3


def test_balanced_gives_the_number_of_steps_asked_for() -> None:
    batches = BatchSampler("balanced", even(4, 40), 64, seed=0, steps=7)
    assert batches.steps == len(list(batches.epoch())) == 7


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_batches_depend_on_the_seed_alone(sampler: str) -> None:
    labels = long_tail(30, 10)

    def drawn(seed: int) -> list[list[int]]:
        np.random.seed(len(drawn.__name__))  # noqa: NPY002 - the global state must not matter
        return [b.tolist() for b in epochs(BatchSampler(sampler, labels, 64, seed), 2)]

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_epochs_differ_and_one_left_early_changes_nothing(sampler: str) -> None:
    labels = even(4, 100)
    whole, partial = (BatchSampler(sampler, labels, 64, seed=1) for _ in range(2))
    first = [b.tolist() for b in whole.epoch()]
    next(partial.epoch())
    second = [b.tolist() for b in whole.epoch()]
    assert first != second
    assert [b.tolist() for b in partial.epoch()] == second


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_row_ids_are_int64_within_the_labels(sampler: str) -> None:
    for batch in epochs(BatchSampler(sampler, even(4, 40), 64, seed=0), 2):
        assert batch.dtype == np.int64
        assert batch.min() >= 0
        assert batch.max() < 160


def test_shuffled_uses_every_row_once_an_epoch_and_only_the_last_batch_is_smaller() -> None:
    sampler = BatchSampler("shuffled", even(4, 50), 64, seed=0)
    for _ in range(2):
        batches = list(sampler.epoch())
        assert [len(b) for b in batches] == [64, 64, 64, 8]
        assert sorted(np.concatenate(batches).tolist()) == list(range(200))


def test_shuffled_has_no_runs_of_one_class() -> None:
    # Sorted labels: a sampler that forgot to shuffle would give batches of one class.
    labels = np.repeat(np.arange(4), 500)
    for batch in BatchSampler("shuffled", labels, 64, seed=0).epoch():
        # 32 of 64 from a quarter of the rows: less likely than 1 in 10⁵ in a batch.
        assert len(batch) < 64 or np.bincount(labels[batch]).max() < 32


@pytest.mark.parametrize(
    ("classes", "batch_size", "shares"),
    [
        (4, 64, [16] * 4),
        (219, 64, [4] * 16),
        (16, 64, [4] * 16),
        (7, 64, [9] * 6 + [10]),
        (10, 64, [6] * 6 + [7] * 4),
        (2, 64, [32, 32]),
        (1, 8, [8]),
        (5, 4, [2, 2]),
        (5, 7, [3, 4]),
        (50, 30, [4] * 5 + [5] * 2),
    ],
)
def test_balanced_batches_are_full_and_shared_evenly_among_classes(
    classes: int, batch_size: int, shares: list[int]
) -> None:
    labels = even(classes, 40)
    for batch in epochs(BatchSampler("balanced", labels, batch_size, seed=0), 2):
        _, counts = np.unique(labels[batch], return_counts=True)
        assert sorted(counts.tolist()) == shares
        assert len(set(batch.tolist())) == batch_size


@pytest.mark.parametrize("classes", [4, 7, 17, 31, 219])
def test_balanced_uses_every_class_equally_often_whatever_its_size(classes: int) -> None:
    labels = long_tail(classes, 12)
    sampler = BatchSampler("balanced", labels, 64, seed=0)
    uses = np.zeros(classes, dtype=int)
    for batch in epochs(sampler, 3):
        uses[np.unique(labels[batch])] += 1
        # Dealt without replacement: at any time no class is more than one round ahead.
        assert uses.max() - uses.min() <= 1


def test_balanced_gives_the_row_left_over_to_each_class_equally_often() -> None:
    labels = even(7, 100)
    odd = [
        int(np.bincount(labels[batch]).argmax())
        for batch in epochs(BatchSampler("balanced", labels, 64, seed=0), 40)
    ]
    counts = np.bincount(odd, minlength=7)
    # A fair draw of 1 in 7: five standard deviations.
    n = len(odd)
    assert np.abs(counts - n / 7).max() <= 5 * np.sqrt(n * (1 / 7) * (6 / 7))


@pytest.mark.parametrize("sizes", [[64, 64], [30, 50, 41, 200], [5, 6, 7, 4, 9, 33, 4, 90] * 4])
def test_balanced_uses_up_the_rows_of_a_class_before_it_repeats_one(sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    uses = np.zeros(len(labels), dtype=int)
    for batch in epochs(BatchSampler("balanced", labels, 32, seed=0), 20):
        uses += np.bincount(batch, minlength=len(labels))
        assert len(set(batch.tolist())) == 32
        for label in range(len(sizes)):
            of_class = uses[labels == label]
            # Even across epochs, and where a batch spans the end of a round.
            assert of_class.max() - of_class.min() <= 1


def test_balanced_repeats_rows_of_a_class_with_fewer_than_asked_evenly() -> None:
    labels = np.array([0] * 3 + [1] * 1 + [2] * 100 + [3] * 100)
    uses = np.zeros(len(labels), dtype=int)
    for batch in epochs(BatchSampler("balanced", labels, 32, seed=0), 10):
        counts = np.bincount(batch, minlength=len(labels))
        assert np.bincount(labels[batch]).tolist() == [8, 8, 8, 8]
        assert counts[:3].min() >= 2  # 8 = 2 × 3 + 2
        uses += counts
        assert uses[:3].max() - uses[:3].min() <= 1


def test_balanced_shuffles_a_class_again_when_it_is_used_up() -> None:
    labels = even(2, 64)
    sampler = BatchSampler("balanced", labels, 64, seed=0)
    rounds = [
        [r for batch in sampler.epoch() for r in batch.tolist() if labels[r] == 0] for _ in range(3)
    ]
    assert all(sorted(a) == sorted(b) and a != b for a, b in pairwise(rounds))


def test_every_round_of_a_deck_is_in_random_order() -> None:
    deck = Deck(np.arange(60), np.random.default_rng(0))
    rounds = np.concatenate([deck.deal(7) for _ in range(60)]).reshape(7, 60)
    for dealt in rounds:
        assert sorted(dealt.tolist()) == list(range(60))
        # of 59 steps half go up: 15 and 44 are four standard deviations from it
        assert 15 < (np.diff(dealt) > 0).sum() < 44
    # Two orders share one of 60 places; sharing 8 is less likely than 1 in 10⁵.
    assert max((one == other).sum() for one, other in pairwise(rounds)) < 8


@pytest.mark.parametrize(("dealt", "next_hand"), [(7, 7), (1, 12)])
def test_a_deck_draws_each_round_from_its_generator(dealt: int, next_hand: int) -> None:
    found = set()
    for seed in range(20):
        rng = np.random.default_rng(0)
        deck = Deck(np.arange(12), rng)
        deck.deal(dealt)
        rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        hand = deck.deal(next_hand)
        found.add(tuple((deck.deal(4) if dealt == 1 else hand).tolist()))
    assert len(found) > 10


def test_balanced_leaves_out_each_class_at_times() -> None:
    # With 17 classes and 16 a batch, one class is left out each time: never always the same.
    labels = even(17, 40)
    absent = [
        (set(range(17)) - set(labels[batch].tolist())).pop()
        for batch in epochs(BatchSampler("balanced", labels, 64, seed=0), 50)
    ]
    assert set(absent) == set(range(17))


def test_balanced_rounds_do_not_end_with_the_same_classes() -> None:
    # 18 classes, 16 a batch: the classes left over by a round come first in the next batch. If they
    # were also last in the next round, the same classes would always share a batch.
    labels = even(18, 40)
    sampler = BatchSampler("balanced", labels, 64, seed=0)
    dealt = labels[np.concatenate(epochs(sampler, 60))[::4]]
    gaps = np.concatenate([np.diff(np.flatnonzero(dealt == label)) for label in range(18)])
    # Fresh shuffles give a gap of exactly one round for 1 in 12; unshuffled leftovers for 5 in 12.
    assert np.mean(gaps == 18) < 0.2


def test_labels_need_not_be_consecutive() -> None:
    labels = np.array([3, 900] * 20)
    for batch in BatchSampler("balanced", labels, 8, seed=0).epoch():
        assert np.unique(labels[batch], return_counts=True)[1].tolist() == [4, 4]


def test_more_rows_a_batch_than_there_are() -> None:
    labels = even(2, 5)
    assert [len(b) for b in BatchSampler("shuffled", labels, 64, seed=0).epoch()] == [10]
    (batch,) = BatchSampler("balanced", labels, 64, seed=0).epoch()
    assert np.bincount(labels[batch]).tolist() == [32, 32]


@pytest.mark.parametrize(
    ("sampler", "batch_size", "message"),
    [
        (
            "balansed",
            64,
            "unknown sampler 'balansed'; did you mean 'balanced'? Known: balanced, shuffled",
        ),
        (
            "shuffled",
            3,
            "batch_size is 3, but a batch needs at least 4 rows to hold two rows of two classes",
        ),
        ("balanced", 6.5, "batch_size is 6.5, but it should be a whole number"),
        ("balanced", True, "batch_size is True, but it should be a whole number"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(
    sampler: str, batch_size: int, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        BatchSampler(sampler, [0, 1], batch_size, seed=0)
    assert str(caught.value) == message


def test_no_rows_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no rows"):
        BatchSampler("shuffled", [], 64, seed=0)


FIVE = np.repeat(np.arange(5, dtype=np.int32), [40, 30, 20, 9, 1])


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_a_batch_holds_this_many_classes_evenly(classes: int) -> None:
    sampler = BatchSampler("balanced", FIVE, 16, seed=0, classes_per_batch=classes)
    batches = list(sampler.epoch())
    assert len(batches) == math.ceil(len(FIVE) / 16)
    for rows in batches:
        _, counts = np.unique(FIVE[rows], return_counts=True)
        assert len(rows) == 16
        assert len(counts) == classes
        assert max(counts) - min(counts) <= 1


def test_classes_of_small_batches_come_equally_often() -> None:
    sampler = BatchSampler("balanced", FIVE, 16, seed=0, classes_per_batch=2)
    seen = [np.unique(FIVE[rows]) for _ in range(10) for rows in sampler.epoch()]
    _, counts = np.unique(np.concatenate(seen), return_counts=True)
    assert counts.max() - counts.min() <= 1


def test_the_usual_number_of_classes_gives_the_usual_batches() -> None:
    usual = BatchSampler("balanced", FIVE, 16, seed=3)
    given = BatchSampler("balanced", FIVE, 16, seed=3, classes_per_batch=4)
    for _ in range(2):
        for one, other in zip(usual.epoch(), given.epoch(), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("classes", [0, 6])
def test_a_number_of_classes_out_of_range_is_an_error(classes: int) -> None:
    with pytest.raises(UserError, match=f"classes_per_batch is {classes}, expected 1 to 5"):
        BatchSampler("balanced", FIVE, 16, seed=0, classes_per_batch=classes)


def test_a_batch_holds_no_more_classes_than_rows() -> None:
    with pytest.raises(UserError, match="classes_per_batch is 9, expected 1 to 8 for 20 classes"):
        BatchSampler("balanced", even(20, 4), 8, seed=0, classes_per_batch=9)


def test_rows_and_classes_are_shuffled_from_the_first_round_on() -> None:
    labels = even(20, 64)
    sampler = BatchSampler("balanced", labels, 64, seed=0)
    batch = next(sampler.epoch())
    assert np.unique(labels[batch]).tolist() != list(range(16))
    assert (np.diff(batch[labels[batch] == labels[batch[0]]]) < 0).any()


@pytest.mark.parametrize("given", [{"steps": 3}, {"classes_per_batch": 2}])
def test_arguments_of_balanced_batches_are_an_error_for_shuffled(given: dict[str, int]) -> None:
    with pytest.raises(UserError, match="is given for shuffled batches"):
        BatchSampler("shuffled", FIVE, 16, seed=0, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("window", [None, 256, 1000])
def test_one_window_gives_the_batches_of_all_rows(sampler: str, window: int | None) -> None:
    labels = long_tail(5, 7)[:250]
    plain, found = (
        BatchSampler(sampler, labels, 32, 4),
        WindowSampler(sampler, labels, 32, 4, window),
    )
    for _ in range(2):
        assert [b.tolist() for b in found.epoch()] == [b.tolist() for b in plain.epoch()]


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 200, 1000])
@pytest.mark.parametrize("window", [32, 63, 64, 100, 199, 5000])
def test_windows_are_as_equal_as_whole_batches_allow(rows: int, window: int) -> None:
    bounds = window_bounds(rows, 32, window)
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1]) == (0, rows)
    assert sizes.min() > 0
    assert sizes.max() <= window
    assert (sizes[:-1] % 32 == 0).all()
    batches = -(-sizes // 32)
    assert batches.max() - batches.min() <= 1
    # no fewer windows would do
    assert (len(sizes) - 1) * (window // 32) < -(-rows // 32)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_batch_is_of_one_window_and_windows_come_one_after_another(sampler: str) -> None:
    labels = even(4, 150)
    bounds = window_bounds(600, 32, 150)
    batches = WindowSampler(sampler, labels, 32, 0, 150)
    orders = []
    for _ in range(3):
        epoch = list(batches.epoch())
        assert len(epoch) == steps_per_epoch(600, 32)
        of_batch = [np.unique(np.searchsorted(bounds, batch, side="right") - 1) for batch in epoch]
        assert all(len(windows) == 1 for windows in of_batch)
        order = [int(windows[0]) for windows in of_batch]
        changes = [order[0], *(b for a, b in pairwise(order) if a != b)]
        assert sorted(changes) == list(range(len(bounds) - 1))
        orders.append(changes)
    assert orders[0] != orders[1]
    assert any(order != sorted(order) for order in orders)


def test_shuffled_windows_use_every_row_once_an_epoch_in_random_order() -> None:
    sampler = WindowSampler("shuffled", even(4, 50), 16, 0, 64)
    epochs_ = [np.concatenate(list(sampler.epoch())) for _ in range(2)]
    for rows in epochs_:
        assert sorted(rows.tolist()) == list(range(200))
        # of the steps within a window half go up
        assert 60 < (np.diff(rows) > 0).sum() < 140
    assert epochs_[0].tolist() != epochs_[1].tolist()
    equal = epochs_[0][epochs_[0] < 144].reshape(3, 48) % 48  # the windows of 48 rows
    assert len(set(map(tuple, equal.tolist()))) == 3  # each in an order of its own


def test_balanced_windows_share_batches_evenly_and_use_up_the_rows_of_a_window() -> None:
    labels = np.random.default_rng(0).permutation(even(4, 150))
    sampler = WindowSampler("balanced", labels, 32, 0, 150)
    uses = np.zeros(600, dtype=int)
    for _ in range(5):
        for batch in sampler.epoch():
            assert np.bincount(labels[batch]).tolist() == [8, 8, 8, 8]
            uses += np.bincount(batch, minlength=600)
    for start, end in pairwise(window_bounds(600, 32, 150)):
        for label in range(4):
            of_class = uses[start:end][labels[start:end] == label]
            assert of_class.max() - of_class.min() <= 1  # across epochs, too


def test_a_balanced_batch_has_no_class_that_its_window_lacks() -> None:
    labels = np.repeat([0, 1, 2, 3], 64)  # sorted: each window has two of the classes
    for batch in WindowSampler("balanced", labels, 16, 0, 128).epoch():
        assert np.unique(labels[batch]).tolist() in ([0, 1], [2, 3])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_windows_depend_on_the_seed_alone(sampler: str) -> None:
    def drawn(seed: int) -> list[list[int]]:
        return [b.tolist() for b in WindowSampler(sampler, even(4, 60), 16, seed, 50).epoch()]

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


def test_a_window_smaller_than_a_batch_is_an_error() -> None:
    with pytest.raises(UserError, match=r"train\.window is 31, but a batch has 32 rows"):
        WindowSampler("shuffled", even(4, 60), 32, 0, 31)
    with pytest.raises(UserError, match="the training set has no rows"):
        WindowSampler("shuffled", [], 32, 0, 64)
