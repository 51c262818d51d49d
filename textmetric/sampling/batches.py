"""Samplers: seeded batches of row ids, the same number of steps for every objective."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textmetric.errors import UserError, unknown_name
from textmetric.grid import SAMPLERS

SMALLEST_BATCH = 4  # two classes × two rows: fewer rows hold no triplet
ROWS_PER_CLASS = 4  # the fewest rows of a class in a balanced batch where there is room


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """``⌈rows / batch_size⌉``, for every sampler and every objective.

    Raises:
        UserError: ``batch_size`` is not a whole number of at least 4.
    """
    # bool is an int to Python, but `batch_size: true` is a slip.
    if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool):
        raise UserError(f"batch_size is {batch_size!r}, but it should be a whole number")
    if batch_size < SMALLEST_BATCH:
        raise UserError(
            f"batch_size is {batch_size}, but a batch needs at least {SMALLEST_BATCH} rows "
            "to hold two rows of two classes"
        )
    return -(-rows // int(batch_size))


class BatchSampler:
    """Batches of row ids, epoch after epoch.

    ``shuffled``: every row once an epoch, in a new random order; the last batch may be smaller.

    ``balanced``: min(C, ⌊B / 4⌋) classes a batch (at least two where there are two), every batch
    exactly B rows, shared evenly: 4 × 16 for 4 classes at B = 64, 16 × 4 for 219. Where B is not
    a multiple, randomly chosen classes give one row more: of 7 classes at B = 64 six give 9 rows
    and one gives 10. Classes are dealt without replacement until all are used up, then shuffled
    again, so every class comes equally often whatever its size; so are the rows inside a class,
    across batches and epochs. No batch holds a class twice, or a row twice, except that a class
    with fewer rows than asked is drawn with repetition, each row as evenly as possible. A large
    class is not seen whole in one epoch, a small one is seen several times.

    Args:
        sampler: ``shuffled`` or ``balanced``.
        labels: (n,) integer class of every row.
        batch_size: B, at least 4.
        seed: The sampler has its own generator: the batches depend on nothing else.
        steps: Batches an epoch, ⌈n / B⌉ unless given (``balanced`` only).
        classes_per_batch: Classes in a batch, 1 to min(C, B), in place of the rule above
            (``balanced`` only).

    Attributes:
        steps: Batches an epoch, ⌈n / B⌉ for both samplers unless given.

    Raises:
        UserError: An unknown sampler, a batch size below 4, no rows, or too many
            ``classes_per_batch``.
    """

    def __init__(
        self,
        sampler: str,
        labels: ArrayLike,
        batch_size: int,
        seed: int,
        *,
        steps: int | None = None,
        classes_per_batch: int | None = None,
    ) -> None:
        if sampler not in SAMPLERS:
            raise unknown_name("sampler", sampler, SAMPLERS)
        classes_of_rows = np.asarray(labels)
        self.sampler = sampler
        self.batch_size = batch_size
        self.rows = len(classes_of_rows)
        self.steps = steps_per_epoch(self.rows, batch_size)
        if sampler == "balanced" and steps is not None:
            self.steps = steps
        if self.rows == 0:
            raise UserError("the training set has no rows, so it gives no batches")
        self._rng = np.random.default_rng(seed)
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

    def epoch(self) -> Iterator[NDArray[np.int64]]:
        """The batches of the next epoch: ``steps`` arrays of row ids, (B,) int64 each.

        The draws of the whole epoch are made by the call, not while iterating: an epoch that is
        left early changes nothing in the next.
        """
        if self.sampler == "balanced":
            return iter(self._balanced())
        order = self._rng.permutation(self.rows)
        starts = range(0, self.rows, self.batch_size)
        return iter([order[start : start + self.batch_size] for start in starts])

    def _balanced(self) -> NDArray[np.int64]:
        """(steps, B) row ids."""
        batches = np.empty((self.steps, self.batch_size), dtype=np.int64)
        for batch in batches:
            filled = 0
            # The first classes give the odd rows; the deal is in random order.
            for label, share in zip(
                self._classes.deal(len(self._shares)).tolist(), self._shares, strict=True
            ):
                batch[filled : filled + share] = self._rows_of[label].deal(share)
                filled += share
        return batches


class Deck:
    """Deals items without replacement until all are used up, then shuffles them again.

    Args:
        items: (n,), at least one.
        rng: draws the orders; decks that share one are dealt from in a fixed order.
    """

    def __init__(self, items: NDArray[np.int64], rng: np.random.Generator) -> None:
        self._rng = rng
        self._items = rng.permutation(items)
        self._dealt = 0  # of this round

    def deal(self, size: int) -> NDArray[np.int64]:
        """(size,) items, all different unless the deck itself is smaller than ``size``."""
        end = self._dealt + size
        if end <= len(self._items):
            hand = self._items[self._dealt : end]
            self._dealt = end
            return hand
        return self._deal_over_the_end(size)

    def _deal_over_the_end(self, size: int) -> NDArray[np.int64]:
        if size > len(self._items):
            # Whole rounds first; what is left of this round waits for its turn.
            rounds, rest = divmod(size, len(self._items))
            return np.concatenate([*([self._items] * rounds), self.deal(rest)])
        # The hand takes what is left of this round and, from the new one, items that are not
        # already in the hand: those were all dealt before.
        left = self._items[self._dealt :]
        used = self._rng.permutation(self._items[: self._dealt])
        first = used[: size - len(left)]
        rest_of_round = self._rng.permutation(np.concatenate([used[len(first) :], left]))
        self._items = np.concatenate([first, rest_of_round])
        self._dealt = len(first)
        return np.concatenate([left, first])
