"""What a person does to clusters, one action after the other, and the corrections it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, shown
from textmetric.labels import is_missing
from textmetric.reclustering.corrections import Corrections, as_text, checked
from textmetric.reclustering.turns import Turns

Kind = Literal["move", "not here", "must", "cannot", "right", "rename", "merge", "undo"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TAKES = {  # rows and names
    "move": (1, 1),
    "not here": (1, 1),
    "must": (2, 0),
    "cannot": (2, 0),
    "right": (0, 1),
    "rename": (0, 2),
    "merge": (0, 2),
    "undo": (0, 0),
}


class Action(NamedTuple):
    """A correction of a person.

    Attributes:
        kind: ``move`` a row to a cluster; a row is ``not here``, in a cluster; two rows ``must``
            be together or ``cannot`` be; all rows of a cluster are ``right``; ``rename`` a cluster,
            or ``merge`` it into the second one; ``undo`` the last action that is not undone yet.
        rows: numbered from 0.
        names: of clusters.
    """

    kind: Kind
    rows: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


@dataclass
class _State:
    """What actions add up to.

    Attributes:
        renamed: names that clusters had when the turn began → names that they have now.
        labels: corrected rows → their cluster.
        must: pairs of rows; the keys of a mapping, which keep their order.
        cannot: as must.
        banned: as must, but of rows, each with the name of a cluster.
    """

    renamed: dict[str, str]
    labels: dict[int, str] = field(default_factory=dict)
    must: dict[tuple[int, int], bool] = field(default_factory=dict)
    cannot: dict[tuple[int, int], bool] = field(default_factory=dict)
    banned: dict[tuple[int, str], bool] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(
            dict(self.renamed),
            dict(self.labels),
            dict(self.must),
            dict(self.cannot),
            dict(self.banned),
        )


class Said:
    """Actions on n rows within a turn, each checked when it is added.

    Attributes:
        start: (n,) the cluster of each row when the turn begins, "" for none.
        earlier: what was said in the turns before.
        actions: those that are not undone.

    Args:
        clusters: (n,) where each row is when the turn begins, see :func:`.checked`.
        before: the turns before; None for the first one.
        numbers: (n,) what the rows are called in messages; by default 0 … n − 1.
    """

    def __init__(
        self,
        clusters: Sequence[Any] | npt.NDArray[Any],
        *,
        before: Turns | None = None,
        numbers: npt.ArrayLike | None = None,
    ) -> None:
        self.start = as_text(clusters)
        self._before = before
        self._numbers = np.arange(len(self.start)) if numbers is None else np.asarray(numbers)
        self.earlier = Corrections() if before is None else before.joined(Corrections())
        self.actions: list[Action] = []
        self.state = self._first()

    def _first(self) -> _State:
        return _State({name: name for name in sorted(set(self.start) - {""})})

    def __len__(self) -> int:
        return len(self.start)

    @property
    def corrections(self) -> Corrections:
        """What was said in this turn."""
        return _corrections(self.state, len(self))

    @property
    def everything(self) -> Corrections:
        """What was said in this turn and those before."""
        return self._joined(self.corrections)

    @property
    def renamed(self) -> dict[str, str]:
        """The clusters when the turn began → what they are called now."""
        return dict(self.state.renamed)

    @property
    def clusters(self) -> list[str]:
        """(n,) where each row is, moves included; "" for a row in none, or that was "not here"."""
        return [self._where(self.state, row) for row in range(len(self))]

    @property
    def labels(self) -> list[str]:
        """(n,) where each row belongs, by this turn and those before; "" if nobody said it."""
        said = self.everything.labels
        return [""] * len(self) if said is None else as_text(said)

    @property
    def names(self) -> list[str]:
        """The clusters that there are now, sorted, new ones included."""
        return sorted({*self.state.renamed.values(), *self.state.labels.values()})

    def where(self, row: int) -> str:
        """The cluster of one row, see :attr:`clusters`."""
        return self._where(self.state, row)

    def _where(self, state: _State, row: int) -> str:
        if row in state.labels:
            return state.labels[row]
        name = self.start[row]
        name = state.renamed.get(name, name)
        return "" if (row, name) in state.banned else name

    def add(self, *actions: Action) -> list[Action]:
        """Add actions, all or none of them.

        Returns:
            Those that say something new.

        Raises:
            UserError: an action is malformed, names a row or cluster that is not there, or
                contradicts what was said; or there is nothing to undo.
        """
        kept, state, news = list(self.actions), self.state.copy(), []
        for action in actions:
            self._check(action)
            if action.kind == "undo":
                if not kept:
                    raise UserError("there is nothing to undo in this turn")
                kept.pop()
                state = self._first()
                for each in kept:
                    self._apply(state, each)
            else:
                if not self._apply(state, action):
                    continue
                kept.append(action)
            news.append(action)
        said = self._joined(_corrections(state, len(self)))
        checked(self.start, said, numbers=self._numbers)
        self.actions, self.state = kept, state
        return news

    def _joined(self, said: Corrections) -> Corrections:
        return said if self._before is None else self._before.joined(said)

    def _check(self, action: Action) -> None:
        rows, names = _TAKES[action.kind]
        if len(action.rows) != rows or len(action.names) != names:
            raise UserError(f"the correction {action.kind} needs {rows} rows and {names} names")
        for row in action.rows:
            if not 0 <= row < len(self):
                raise UserError(f"there is no row {shown(row)}: there are {len(self)} rows")
        for name in action.names:
            if not name.strip() or is_missing(name):
                raise UserError(f"{shown(name)} is no name of a cluster: give a word")

    def _apply(self, state: _State, action: Action) -> bool:
        """Change the state; whether that says something new."""
        if action.kind in ("move", "must", "cannot"):
            return _of_rows(state, action)
        names = {*state.renamed.values(), *state.labels.values()}
        name = action.names[0]
        if name not in names:
            raise UserError(f"there is no cluster {name!r}")
        if action.kind == "not here":
            return _of_rows(state, action)
        if action.kind == "right":
            rows = [row for row in range(len(self)) if self._where(state, row) == name]
            return sum(_put(state.labels, row, name) for row in rows) > 0
        other = action.names[1]
        if name == other:
            raise UserError(f"the name {name!r} is given twice: give two names")
        if action.kind == "merge" and other not in names:
            raise UserError(f"there is no cluster {other!r}")
        if action.kind == "rename" and other in names:
            raise UserError(
                f"there is a cluster {other!r} already: merge the two, or give another name"
            )
        _rename(state, name, other)
        return True


def _rename(state: _State, old: str, new: str) -> None:
    state.renamed = {first: new if now == old else now for first, now in state.renamed.items()}
    state.labels = {row: new if name == old else name for row, name in state.labels.items()}
    state.banned = {(row, new if name == old else name): True for row, name in state.banned}


def as_corrections(actions: Sequence[Action], rows: int) -> Corrections:
    """What is said of ``rows`` rows by actions that are about rows, unchecked."""
    state = _State({})
    for action in actions:
        _of_rows(state, action)
    return _corrections(state, rows)


def _of_rows(state: _State, action: Action) -> bool:
    if action.kind == "move":
        return _put(state.labels, action.rows[0], action.names[0])
    if action.kind == "not here":
        return _put(state.banned, (action.rows[0], action.names[0]), True)
    pairs = state.must if action.kind == "must" else state.cannot
    return _put(pairs, (min(action.rows), max(action.rows)), True)


def _put(found: dict[Any, Any], key: Any, value: Any) -> bool:
    changed: bool = found.get(key) != value
    found[key] = value
    return changed


def _corrections(state: _State, rows: int) -> Corrections:
    return Corrections(
        [state.labels.get(row) for row in range(rows)],
        list(state.must),
        list(state.cannot),
        not_here=list(state.banned),
        renamed={first: now for first, now in state.renamed.items() if first != now},
    )
