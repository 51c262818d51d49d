"""The tokens of the window of rows that a training is at, in memory."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from textmetric.sampling.batches import window_bounds
from textmetric.text import RaggedTokens, Tokens
from textmetric.types import Int64

_Integer = TypeVar("_Integer", np.int32, np.int64)


class Windows:
    """Reads the tokens of one window at a time, once each time that the batches come to it.

    One window is in memory, if callers keep no reference to another.

    Args:
        tokens: n texts.
        bounds: (w + 1,) where windows start and end, see :func:`.window_bounds`; None for one
            window of all rows, which is read once.

    Attributes:
        read: how many windows were read.
    """

    def __init__(self, tokens: Tokens, bounds: Int64 | None = None) -> None:
        self._tokens = tokens
        self._bounds = np.array([0, len(tokens)]) if bounds is None else bounds
        self._first = self._end = self.read = 0
        self._window = RaggedTokens.empty()

    @classmethod
    def of(cls, tokens: Tokens, batch_size: int, window: int | None) -> Windows:
        """The windows that :class:`.WindowSampler` takes its batches from."""
        return cls(tokens, window_bounds(len(tokens), batch_size, window))

    @property
    def single(self) -> bool:
        """Whether there is one window, of all rows."""
        return len(self._bounds) == 2

    def holding(self, rows: Int64) -> tuple[RaggedTokens, Int64]:
        """The tokens of the window that has the texts ``rows`` (B,), and their rows in it.

        The arrays of the tokens are read only and contiguous.

        Raises:
            ValueError: the rows are of more than one window.
        """
        if self.single:
            if not self.read:
                self._hold(self._tokens.whole())
            return self._window, rows
        first, last = int(rows.min()), int(rows.max())
        if not self._first <= first < self._end:
            place = int(np.searchsorted(self._bounds, first, side="right"))
            self._first, self._end = self._bounds[place - 1 : place + 1].tolist()
            self._window = RaggedTokens.empty()  # before the next one is read
            self._hold(self._tokens.take(np.arange(self._first, self._end)))
        if last >= self._end:
            raise ValueError(
                f"a batch has rows {first} and {last}, but a window ends at {self._end}"
            )
        return self._window, rows - self._first

    def _hold(self, tokens: RaggedTokens) -> None:
        self._window = RaggedTokens(read_only(tokens.ids), read_only(tokens.offsets))
        self.read += 1


def read_only(array: npt.NDArray[_Integer]) -> npt.NDArray[_Integer]:
    """The array, contiguous: mapped files are read only, which is another type to the compiler."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
