"""What a person said about clusters, checked: labels, links, clusters that are right or wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing, shown
from textmetric.labels import is_missing
from textmetric.types import Int64

with needing("corrections of clusters", "train"):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

NONE = -1
"""The cluster of a row without one, and the correction of a row that nobody corrected."""


@dataclass(frozen=True, eq=False)
class Corrections:
    """What a person said about n rows in clusters. Rows are numbered from 0.

    Attributes:
        labels: (n,) the cluster where a row belongs, of any name, also a new one. None, an empty
            string, the number -1 and a missing value of pandas mean that nobody corrected it.
        must: (p, 2) rows that belong together.
        cannot: (q, 2) rows that belong apart.
        right: names of clusters whose rows of now are all confirmed.
        not_here: rows, each with the name of a cluster in which it must not be.
        renamed: old names of clusters, each with its new name; two with the same new name are
            merged. All other attributes use new names.
    """

    labels: Sequence[Any] | npt.NDArray[Any] | None = None
    must: npt.ArrayLike = ()
    cannot: npt.ArrayLike = ()
    right: Sequence[Any] = ()
    not_here: Sequence[tuple[int, Any]] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def joined(self, more: Corrections) -> Corrections:
        """What is said here and then there; where both name a cluster for a row, the later.

        Raises:
            UserError: the two are of different numbers of rows.
        """
        labels = self.labels if more.labels is None else more.labels
        if self.labels is not None and more.labels is not None:
            old, new = as_text(self.labels), as_text(more.labels)
            if len(new) != len(old):
                raise UserError(f"{len(old)} rows came with {len(new)} corrections: give one a row")
            labels = [later or earlier for later, earlier in zip(new, old, strict=True)]
        return Corrections(
            labels,
            _together(self.must, more.must),
            _together(self.cannot, more.cannot),
            [*self.right, *more.right],
            [*self.not_here, *more.not_here],
            {**self.renamed, **more.renamed},
        )


@dataclass(frozen=True, eq=False)
class Constraints:
    """Corrections in arrays, closed: rows that must be together are one group.

    Attributes:
        names: the C clusters: those that rows are in, sorted, then names that are new.
        clusters: (n,) where each row is now, an id of ``names``; -1 for a row without a cluster.
        corrected: (n,) where each row belongs, said of the row itself; -1 if nobody said it.
        groups: (n,) the group of each row, 0 … g − 1.
        labels: (g,) where each group belongs; -1 if nobody said it of one of its rows.
        apart: (q, 2) groups that must be in two clusters, of which one has no label at least.
        banned: (b, 2) a group without a label, and the id of a cluster in which it must not be.
        numbers: (n,) what the rows are called in messages.
    """

    names: list[str]
    clusters: Int64
    corrected: Int64
    groups: Int64
    labels: Int64
    apart: Int64
    banned: Int64
    numbers: Int64

    @property
    def fixed(self) -> Int64:
        """(n,) where each row must be, links included; -1 if it may be elsewhere."""
        return self.labels[self.groups]

    def violations(self, clusters: Int64) -> int:
        """How many corrections are violated if each row is in the cluster of ``clusters`` (n,)."""
        fixed = self.fixed
        wrong = int(((fixed != NONE) & (clusters != fixed)).sum())
        first = np.zeros(len(self.labels), dtype=np.int64)
        first[self.groups] = np.arange(len(clusters))  # a row of each group
        of_group = clusters[first]
        wrong += int((clusters != of_group[self.groups]).sum())
        wrong += int((of_group[self.apart[:, 0]] == of_group[self.apart[:, 1]]).sum())
        return wrong + int((of_group[self.banned[:, 0]] == self.banned[:, 1]).sum())


def checked(
    clusters: Sequence[Any] | npt.NDArray[Any],
    corrections: Corrections,
    *,
    numbers: npt.ArrayLike | None = None,
    known: Iterable[str] = (),
) -> Constraints:
    """Corrections of n rows as constraints, with their transitive closure.

    Names are compared as text, so that the cluster 3 is the cluster "3".

    Args:
        clusters: (n,) the cluster where each row is now; None, an empty string, the number -1 or a
            missing value for a row that is in none.
        corrections: of these rows.
        numbers: (n,) what the rows are called in messages; by default 0 … n − 1.
        known: more names of clusters.

    Raises:
        UserError: corrections contradict each other, name a row or a cluster that is not there, or
            have another length.
    """
    now = [corrections.renamed.get(name, name) for name in as_text(clusters)]
    rows = len(now)
    called = np.arange(rows) if numbers is None else np.asarray(numbers, dtype=np.int64)
    said = [""] * rows if corrections.labels is None else as_text(corrections.labels)
    if len(said) != rows:
        raise UserError(f"{rows} clusters came with {len(said)} corrections: give one a row")
    old = sorted({*now, *known} - {""})
    right = [str(name) for name in corrections.right]
    for name in right:
        if name not in now:
            raise UserError(f"no row is in the cluster {name!r}, which is said to be right")
    banned_names = [str(name) for _, name in corrections.not_here]
    for name in banned_names:
        if name not in old and name not in said:
            raise UserError(f"there is no cluster {name!r}, in which a row is said not to be")
    names = [*old, *sorted(set(said) - {"", *old})]
    places = {name: place for place, name in enumerate(names)} | {"": NONE}
    current = np.array([places[name] for name in now], dtype=np.int64)
    corrected = np.array([places[name] for name in said], dtype=np.int64)
    confirmed = np.isin(current, [places[name] for name in right])
    for row in np.flatnonzero(confirmed & (corrected != NONE) & (corrected != current))[:1]:
        raise UserError(
            f"row {called[row]} of the cluster {now[row]!r} is corrected to {said[row]!r}, but "
            f"{now[row]!r} is said to be right: take one of the two back"
        )
    corrected = np.where(confirmed, current, corrected)
    ban_rows = _rows([row for row, _ in corrections.not_here], rows, "not_here")
    bans = np.column_stack([ban_rows, [places[name] for name in banned_names]]).astype(np.int64)
    must = _pairs(corrections.must, rows, "must")
    cannot = _pairs(corrections.cannot, rows, "cannot")
    return _closed(_Said(names, current, corrected, must, cannot, bans, called))


@dataclass(frozen=True, eq=False)
class _Said:
    """Corrections as arrays of rows, before their closure."""

    names: list[str]
    clusters: Int64
    corrected: Int64
    must: Int64
    cannot: Int64
    banned: Int64
    numbers: Int64

    def chain(self, start: int, end: int) -> str:
        """How must-links join two rows, as ``3–5–9``."""
        return "–".join(str(self.numbers[row]) for row in _path(self.must, start, end))

    def reason(self, row: int, witness: int) -> str:
        """Why a row belongs where a witness is corrected to."""
        name = self.names[self.corrected[witness]]
        said = f"row {self.numbers[witness]} is corrected to {name!r}"
        return said if row == witness else f"{said} and must-links join {self.chain(row, witness)}"


def _closed(said: _Said) -> Constraints:
    """The constraints of what was said.

    Raises:
        UserError: two corrections contradict each other; it names the rows that lead to it.
    """
    rows = len(said.clusters)
    count, found = connected_components(_graph(said.must, rows), directed=False)
    groups = np.asarray(found, dtype=np.int64)
    labelled = np.flatnonzero(said.corrected != NONE)
    labels = np.full(count, NONE, dtype=np.int64)
    witness = np.full(count, NONE, dtype=np.int64)  # the first row that says where a group belongs
    witness[groups[labelled[::-1]]] = labelled[::-1]
    labels[groups[labelled]] = said.corrected[witness[groups[labelled]]]
    for row in labelled[said.corrected[labelled] != labels[groups[labelled]]][:1]:
        other = witness[groups[row]]
        raise UserError(
            f"row {said.numbers[other]} is corrected to {said.names[said.corrected[other]]!r} and "
            f"row {said.numbers[row]} to {said.names[said.corrected[row]]!r}, but must-links join "
            f"{said.chain(int(other), int(row))}: take one of these corrections back"
        )
    apart = groups[said.cannot]
    for one, other in said.cannot[apart[:, 0] == apart[:, 1]][:1]:
        how = f"must-links join {said.chain(int(one), int(other))}" if one != other else (
            "they are one row"
        )  # fmt: skip
        raise UserError(
            f"rows {said.numbers[one]} and {said.numbers[other]} cannot be together, but {how}: "
            "take one of these links back"
        )
    both = (labels[apart[:, 0]] != NONE) & (labels[apart[:, 0]] == labels[apart[:, 1]])
    for pair in said.cannot[both][:1]:
        reasons = [said.reason(int(row), int(witness[groups[row]])) for row in pair]
        raise UserError(
            f"rows {said.numbers[pair[0]]} and {said.numbers[pair[1]]} cannot be together, but "
            f"{reasons[0]}, and {reasons[1]}: take one of these corrections back"
        )
    ban_groups = groups[said.banned[:, 0]]
    for row, name in said.banned[labels[ban_groups] == said.banned[:, 1]][:1]:
        raise UserError(
            f"row {said.numbers[row]} is said not to be in {said.names[name]!r}, but "
            f"{said.reason(int(row), int(witness[groups[row]]))}: take one of these corrections "
            "back"
        )
    free = (labels[apart] == NONE).any(axis=1)
    bans = np.column_stack([ban_groups, said.banned[:, 1]])[labels[ban_groups] == NONE]
    return Constraints(
        said.names,
        said.clusters,
        said.corrected,
        groups,
        labels,
        np.unique(np.sort(apart[free], axis=1), axis=0),
        np.unique(bans, axis=0),
        said.numbers,
    )


def as_text(names: Iterable[Any]) -> list[str]:
    """Names of clusters as text, "" where there is none."""
    return ["" if _is_none(name) else str(name) for name in names]


def _is_none(name: Any) -> bool:
    if isinstance(name, str):
        return not name.strip() or is_missing(name)
    if name is None or is_missing(name):
        return True
    return isinstance(name, int | float | np.number) and name == NONE


def _rows(given: Sequence[int], rows: int, name: str) -> Int64:
    places = np.asarray(given)
    if not places.size:
        return np.empty(0, dtype=np.int64)
    if places.dtype.kind not in "iu" or places.ndim != 1:
        raise UserError(f"{name} has {shown(given[0])} for a row: give whole numbers")
    for place in places[(places < 0) | (places >= rows)][:1]:
        raise UserError(f"{name} names the row {place}, but there are the rows 0 to {rows - 1}")
    return places.astype(np.int64)


def _pairs(given: npt.ArrayLike, rows: int, name: str) -> Int64:
    pairs = np.asarray(given)
    if not pairs.size:
        return np.empty((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise UserError(f"{name} has the shape {pairs.shape}: give two rows a pair")
    return _rows(pairs.ravel(), rows, name).reshape(-1, 2)  # type: ignore[arg-type]


def _together(pairs: npt.ArrayLike, more: npt.ArrayLike) -> npt.NDArray[Any]:
    found = [each for each in (np.asarray(pairs), np.asarray(more)) if each.size]
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def _graph(pairs: Int64, rows: int) -> coo_array:
    ones = np.ones(len(pairs), dtype=np.int8)
    return coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))


def _path(pairs: Int64, start: int, end: int) -> list[int]:
    """The rows on a shortest path between two rows that pairs join, both ends included."""
    rows = int(pairs.max()) + 1
    _, before = breadth_first_order(_graph(pairs, rows).tocsr(), start, directed=False)
    path = [end]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return path[::-1]
