"""Samplers: seeded batches of row ids, the same number of steps for every objective."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from textmetric.errors import UserError, unknown_name
from textmetric.grid import SAMPLERS
from textmetric.sampling.streams import Stream, generator_of
from textmetric.types import Int64

SMALLEST_BATCH = 4  # two rows of two classes
ROWS_PER_CLASS = 4  # in a balanced batch with enough room, at least


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """``⌈rows / batch_size⌉``, for every sampler and every objective.

    Raises:
        UserError: ``batch_size`` is not a whole number of at least 4, or there are no rows.
    """
    # bool is an int in Python, but `batch_size: true` is a mistake.
    if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool):
        raise UserError(f"batch_size is {batch_size!r}, but it should be a whole number")
    if batch_size < SMALLEST_BATCH:
        raise UserError(
            f"batch_size is {batch_size}, but a batch needs at least {SMALLEST_BATCH} rows "
            "to hold two rows of two classes"
        )
    if rows == 0:
        raise UserError("the training set has no rows, so it gives no batches")
    return -(-rows // int(batch_size))


class BatchSampler:
    """Batches of row ids, epoch after epoch.

    ``shuffled``: every row once an epoch, in a new random order; the last batch may be smaller.

    ``balanced``: every batch has B rows of min(C, ⌊B / 4⌋) classes (at least two where there are
    two), shared evenly: 4 × 16 for 4 classes at B = 64, 16 × 4 for 219. Where B is not a multiple,
    some classes, chosen at random, have one row more: of 7 classes at B = 64, six have 9 rows and
    one has 10. Classes are dealt without replacement until all are used up, then shuffled again,
    so every class comes equally often whatever its size. The rows of a class are dealt the same
    way, across batches and epochs. No batch holds a row twice, except where a class has fewer rows
    than its share: its rows are then repeated, each as evenly as possible. One epoch does not use
    all rows of a large class, and repeats those of a small one.

    Args:
        sampler: ``shuffled`` or ``balanced``.
        labels: (n,) integer class of every row.
        batch_size: B, at least 4.
        seed: of the training, or what draws the batches; they depend on no other random state.
        steps: batches an epoch, ⌈n / B⌉ unless given (``balanced`` only).
        classes_per_batch: classes in a batch, 1 to min(C, B), in place of the rule above
            (``balanced`` only).
        stream: which of the seed's streams draws the batches.

    Attributes:
        steps: batches an epoch.

    Raises:
        UserError: the sampler is unknown, the batch size is below 4, there are no rows,
            ``classes_per_batch`` is out of range, or an argument of ``balanced`` is given for
            ``shuffled``.
    """

    def __init__(
        self,
        sampler: str,
        labels: ArrayLike,
        batch_size: int,
        seed: int | np.random.Generator,
        *,
        steps: int | None = None,
        classes_per_batch: int | None = None,
        stream: Stream = Stream.BATCHES,
    ) -> None:
        if sampler not in SAMPLERS:
            raise unknown_name("sampler", sampler, SAMPLERS)
        classes_of_rows = np.asarray(labels)
        self.sampler = sampler
        self.batch_size = batch_size
        self.rows = len(classes_of_rows)
        self.steps = steps_per_epoch(self.rows, batch_size)
        if sampler == "shuffled" and (steps, classes_per_batch) != (None, None):
            raise UserError(
                "steps or classes_per_batch is given for shuffled batches: leave it out, or use "
                "the balanced sampler"
            )
        if steps is not None:
            self.steps = steps
        self._rng = seed if isinstance(seed, np.random.Generator) else generator_of(seed, stream)
        if sampler == "balanced":
            _, counts = np.unique(classes_of_rows, return_counts=True)
            by_class = np.split(np.argsort(classes_of_rows, kind="stable"), np.cumsum(counts)[:-1])
            self._rows_of = [Deck(rows, self._rng) for rows in by_class]
            self._classes = Deck(np.arange(len(by_class)), self._rng)
            per_batch = classes_per_batch
            if per_batch is None:
                per_batch = min(len(by_class), max(2, batch_size // ROWS_PER_CLASS))
            elif not 1 <= per_batch <= min(len(by_class), batch_size):
                raise UserError(
                    f"classes_per_batch is {per_batch}, expected 1 to "
                    f"{min(len(by_class), batch_size)} for {len(by_class)} classes and batches of "
                    f"{batch_size}"
                )
            small, larger = divmod(batch_size, per_batch)
            self._shares = [small + 1] * larger + [small] * (per_batch - larger)

    def epoch(self) -> Iterator[Int64]:
        """The batches of the next epoch: ``steps`` arrays (B,) of row ids.

        The call draws the whole epoch: stopping an iteration early does not change the next epoch.
        """
        if self.sampler == "balanced":
            return iter(self._balanced())
        order = self._rng.permutation(self.rows)
        starts = range(0, self.rows, self.batch_size)
        return iter([order[start : start + self.batch_size] for start in starts])

    def _balanced(self) -> Int64:
        """(steps, B) row ids."""
        batches = np.empty((self.steps, self.batch_size), dtype=np.int64)
        for batch in batches:
            filled = 0
            # The first classes of a deal, which is in random order, give one row more.
            for label, share in zip(
                self._classes.deal(len(self._shares)).tolist(), self._shares, strict=True
            ):
                batch[filled : filled + share] = self._rows_of[label].deal(share)
                filled += share
        return batches


class WindowSampler:
    """The batches of :class:`BatchSampler` from one window of the rows after another.

    The rows are cut where they lie into windows of at most ``window`` of them, as equal as whole
    batches allow, see :func:`window_bounds`. An epoch goes through all windows in a new random
    order, and each window gives its batches before the next one begins, so that the texts of one
    window are enough to have in memory. There are ⌈n / B⌉ batches, as without windows.

    ``shuffled`` has every row once an epoch; a row shares batches with the rows of its window
    only. ``balanced`` keeps its promises within each window, for the classes that have rows there,
    and across epochs: but a batch has no class that its window lacks, and a class has as many
    places as the windows that it is in give it, not as many as every other class.

    Args:
        sampler: ``shuffled`` or ``balanced``.
        labels: (n,) integer class of every row.
        batch_size: B, at least 4.
        seed: of the training; the batches depend on no other random state.
        window: at most this many rows are in a window, at least B; None, or n and more: there is
            one window, and the batches are those of :class:`BatchSampler`.
        classes_per_batch: see :class:`BatchSampler`; of every window.
        stream: which of the seed's streams draws the windows and the batches.

    Raises:
        UserError: see :class:`BatchSampler`, or the window is smaller than a batch.
    """

    def __init__(
        self,
        sampler: str,
        labels: ArrayLike,
        batch_size: int,
        seed: int,
        window: int | None,
        *,
        classes_per_batch: int | None = None,
        stream: Stream = Stream.BATCHES,
    ) -> None:
        of_rows = np.asarray(labels)
        bounds = window_bounds(len(of_rows), batch_size, window).tolist()
        self._rng = generator_of(seed, stream)
        self._windows = [
            (
                start,
                BatchSampler(
                    sampler,
                    of_rows[start:end],
                    batch_size,
                    self._rng,
                    classes_per_batch=classes_per_batch,
                ),
            )
            for start, end in pairwise(bounds)
        ]

    def epoch(self) -> Iterator[Int64]:
        """The batches of the next epoch, window by window; see :meth:`BatchSampler.epoch`."""
        order = self._rng.permutation(len(self._windows)).tolist()
        drawn = [(self._windows[place][0], self._windows[place][1].epoch()) for place in order]
        return (start + batch for start, batches in drawn for batch in batches)


def window_bounds(rows: int, batch_size: int, window: int | None) -> Int64:
    """Where the windows of a training start and end: (w + 1,), rising from 0 to ``rows``.

    Every window has whole batches, except the last, whose last batch may be smaller. The numbers
    of their batches differ by one at most.

    Args:
        rows: n, of the training set.
        batch_size: B.
        window: at most this many rows are in a window; None: there is one window.

    Raises:
        UserError: see :func:`steps_per_epoch`, or the window is smaller than a batch.
    """
    batches = steps_per_epoch(rows, batch_size)
    if window is None:
        return np.array([0, rows])
    if window < batch_size:
        raise UserError(
            f"train.window is {window}, but a batch has {batch_size} rows and comes from one "
            "window: raise train.window, or lower the batch size"
        )
    windows = -(-batches // (window // batch_size))
    return np.minimum(np.arange(windows + 1) * batches // windows * batch_size, rows)


class Deck:
    """Deals items without replacement until all are used up, then shuffles them again.

    Args:
        items: (n,), at least one.
        rng: draws the orders. If decks share one, the order of their deals changes the items.
    """

    def __init__(self, items: Int64, rng: np.random.Generator) -> None:
        self._rng = rng
        self._items = rng.permutation(items)
        self._dealt = 0  # of this round

    def deal(self, size: int) -> Int64:
        """(size,) items, all different unless the deck is smaller than ``size``."""
        end = self._dealt + size
        if end <= len(self._items):
            hand = self._items[self._dealt : end]
            self._dealt = end
            return hand
        return self._deal_over_the_end(size)

    def _deal_over_the_end(self, size: int) -> Int64:
        if size > len(self._items):
            # Whole rounds first; the rest of the current round is dealt later.
            rounds, rest = divmod(size, len(self._items))
            return np.concatenate([*([self._items] * rounds), self.deal(rest)])
        # The hand takes the rest of this round. The items that it takes from the next round must be
        # others, so they come from those that were dealt in this round.
        left = self._items[self._dealt :]
        used = self._rng.permutation(self._items[: self._dealt])
        first = used[: size - len(left)]
        rest_of_round = self._rng.permutation(np.concatenate([used[len(first) :], left]))
        self._items = np.concatenate([first, rest_of_round])
        self._dealt = len(first)
        return np.concatenate([left, first])
