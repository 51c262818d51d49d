"""One turn: learn from corrections, cluster again, say what changed and what to ask next."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, shown
from textmetric.measures import softmax
from textmetric.reclustering.ask import ASKED, Question, questions
from textmetric.reclustering.changes import Changes, changes
from textmetric.reclustering.corrections import NONE, Constraints, Corrections, checked
from textmetric.reclustering.far import far_groups, with_new
from textmetric.reclustering.held_out import FOLDS, HeldOut, held_out
from textmetric.reclustering.journal import noted
from textmetric.reclustering.learn import embedded, principal, trained
from textmetric.reclustering.seeded import Fit, fit
from textmetric.reclustering.turns import Turns, begun, fingerprint, refuse_other
from textmetric.reclustering.vectors import text_vectors
from textmetric.text import checked_texts
from textmetric.types import Bools, Float64, Int64, PathLike

if TYPE_CHECKING:
    from textmetric.embedder import TextEmbedder

HowMany = int | Literal["grow", "keep", "auto"]
OBJECTIVE = "sup_con"
"""What trains a projection of given vectors, or token vectors, if nothing else is asked for."""
AUTO = "auto"


class Turn(NamedTuple):
    """What a turn gives for n rows.

    Attributes:
        labels: (n,) the new cluster of each row, as text.
        confidence: (n,) its probability, in [0, 1]; 1 for a row that a correction puts there.
        moved: (n,) whether the row was in another cluster before. A new name that takes the place
            of an old one is the same cluster.
        changes: moves, merges, splits, renamed, new and vanished clusters.
        held_out: agreement with corrections that were hidden, before and after; None with too few.
        ask: the texts whose correction would help most.
        number: of the turn, from 1.
        rows: (n, d) the vectors that were clustered.
        constraints: all corrections so far, closed.
        fit: the clusters and their space.
        said: all corrections so far, as they were given.
    """

    labels: npt.NDArray[Any]
    confidence: Float64
    moved: Bools
    changes: Changes
    held_out: HeldOut | None
    ask: list[Question]
    number: int
    rows: Float64
    constraints: Constraints
    fit: Fit
    said: Corrections


def recluster(
    texts: Sequence[str],
    clusters: Sequence[Any] | npt.NDArray[Any] | None,
    corrections: Corrections | Sequence[Any] | npt.NDArray[Any],
    *,
    vectors: str | npt.ArrayLike | None = None,
    objective: str | None = AUTO,
    tune: bool | None = None,
    k: HowMany = "auto",
    new: bool = False,
    hold_out: bool = True,
    folder: PathLike | None = None,
    ask: int = ASKED,
    numbers: npt.ArrayLike | None = None,
    seed: int = 0,
    progress: bool = False,
    tick: Callable[[float], object] = lambda share: None,
) -> Turn:
    """Learn from corrections of clusters, and cluster again so that every correction is honoured.

    Args:
        texts: n texts.
        clusters: (n,) the cluster of each, such as a topic; None, an empty string, the number -1
            or a missing value for a text that is in none. None in place of all of them: where the
            last turn of ``folder`` put the texts.
        corrections: (n,) the cluster where each text belongs, and None, an empty string, the
            number -1 or a missing value for most of them, which nobody corrected; or
            :class:`.Corrections`, which can say more.
        vectors: of the texts, see :func:`.text_vectors`; those of the first turn count.
        objective: what a projection of the vectors is trained by on the corrected texts before they
            are clustered, see docs/objectives.md; None for no projection. There is none either
            where corrections say too little, see :func:`.trained`. ``auto``: that of the last turn;
            in the first, ``sup_con`` for given vectors, and None for those of latent semantic
            analysis, whose space is small and would lose by a projection of few texts.
        tune: train the token vectors instead of a projection of the texts' vectors. ``vectors`` is
            their name then, or None for those of the texts themselves. None: as in the last turn;
            in the first, a projection.
        k: the number of clusters. ``grow``: the old ones stay, and each new name adds one.
            ``keep``: as many as before, or as corrections name if those are more; a new name takes
            the place of the old cluster that its texts come from. ``auto``: of these two the one
            with the higher adjusted Rand index on hidden corrections, and ``grow`` with too few.
        new: let texts that are far from all clusters form new ones, ``new 1``, ``new 2`` and so on.
        hold_out: cluster three more times with a third of the corrections hidden, see
            :class:`.HeldOut`. False takes about a quarter of the time: the agreement with hidden
            corrections stays unknown, no correction is called a likely mistake, ``auto`` is
            ``grow``, and the confidence is not calibrated.
        folder: of the turns; a turn that is there is gone on from, with all corrections so far,
            those that the page has saved there included.
        ask: how many texts to ask about at most.
        numbers: (n,) what the texts are called in messages; by default 0 … n − 1.
        seed: of the choices of rows, and of the training.
        progress: show progress bars.
        tick: called now and then with the share of the work that is done.

    Raises:
        UserError: corrections contradict each other or cannot be honoured; an argument is of
            another length or out of range; the folder is of other texts.

    >>> texts = [f"{fruit} {number}" for fruit in ("apple", "pear") for number in "abcdefgh"]
    >>> clusters = ["1"] * 4 + ["2"] * 12
    >>> said = ["apple", *[None] * 6, "apple", "pear", *[None] * 6, "pear"]
    >>> found = recluster(texts, clusters, said, k="keep")
    >>> found.labels[[0, 4, 8, 12]].tolist()
    ['apple', 'apple', 'pear', 'pear']
    """
    listed = checked_texts(texts)
    if tune and not isinstance(vectors, str | None):
        raise UserError("tune trains token vectors, but vectors is an array: give their name")
    said = corrections if isinstance(corrections, Corrections) else Corrections(corrections)
    _check_number(k)
    before = None
    if folder is not None:
        refuse_other(folder)
        before = Turns.read(folder) if begun(folder) else None
    sha256 = fingerprint(listed)
    if before is not None and before.sha256 != sha256:
        raise UserError(f"{folder} has turns of other texts: give those, or another folder")
    if clusters is None:
        if before is None:
            raise UserError("there is no turn to go on from: give the clusters of the texts")
        clusters = before.current
    if folder is not None:
        said = noted(folder, listed, clusters, before=before, numbers=numbers).joined(said)
    if before is None:
        rows = principal(text_vectors(listed, vectors, progress=progress))
        names = []
    else:
        said, rows = before.joined(said), before.rows.astype(np.float64)
        names = [said.renamed.get(name, name) for name in before.names]
    constraints = checked(clusters, said, numbers=numbers, known=names)
    first = constraints.clusters
    if before is not None:
        places = np.array([*(constraints.names.index(name) for name in names), NONE])
        first = places[before.first]
    last = None if before is None else before.history[-1]
    if tune is None:
        tune = last is not None and last["tune"]
    if objective == AUTO:
        objective = OBJECTIVE if tune or vectors is not None else None
        if last is not None and (last["objective"] or not tune):
            objective = last["objective"]
    given = vectors if isinstance(vectors, str) else None
    start = _Start(listed, rows, given if last is None else last["vectors"], tune)
    learner = _Learner(start, constraints, objective, before, seed)
    tried = _numbers(constraints, k)
    count, judged = tried[0], None
    if hold_out:
        hidden = replace(constraints, clusters=first)
        count, judged = _best_number(learner, hidden, tried, seed, tick)
    mapped, found = learner.fitted(constraints, count)
    groups = far_groups(mapped, constraints, found) if new else []
    if groups:
        widened = with_new(constraints, groups)
        mapped, found = learner.fitted(widened, count + len(groups))
        constraints = replace(constraints, names=widened.names)
    tick(1.0)
    names = constraints.names
    changed = changes(names, constraints.clusters, found.clusters)
    turn = Turn(
        np.array(names)[found.clusters],
        _confidence(found, constraints, judged),
        changed.moved,
        changed,
        judged,
        questions(mapped, constraints, found, names, _suspects(judged), count=ask, seed=seed),
        1 if before is None else len(before.history) + 1,
        mapped,
        constraints,
        found,
        said,
    )
    if folder is not None:
        settings = {"objective": objective, "tune": tune, "vectors": start.vectors}
        _after(turn, said, before, first, rows, sha256, settings, learner.model).write(folder)
    return turn


class _Start(NamedTuple):
    """What a space can be trained on.

    Attributes:
        texts: n texts.
        rows: (n, d) their vectors.
        vectors: the name of the token vectors, if they have one.
        tune: whether to train the token vectors, or a projection of the rows.
    """

    texts: Sequence[str]
    rows: Float64
    vectors: str | None
    tune: bool


class _Learner:
    """What clusters rows again: the space that is trained first, if any, and the last turn's."""

    def __init__(
        self,
        start: _Start,
        constraints: Constraints,
        objective: str | None,
        before: Turns | None,
        seed: int,
    ) -> None:
        self._start = start
        self._objective = objective
        self._seed = seed
        self._constraints = constraints
        self.model: TextEmbedder | None = None
        self._mapping = None
        last = None if before is None else before.model
        if objective is not None:
            self.model = self._trained(constraints, before=last)
        elif before is not None and last is None:
            self._mapping = before.mapping

    def fitted(self, constraints: Constraints, k: int) -> tuple[Float64, Fit]:
        """Rows (n, d), and k clusters of them, as if the constraints were all that is known."""
        before, model = self._start.rows, self.model
        rows = before
        hidden = constraints.corrected is not self._constraints.corrected
        if model is not None:
            if hidden:
                model = self._trained(constraints, lr=model.lr_)
            if model is not None:
                rows = embedded(model, before, self._start.texts)
        mapping = None if hidden else self._mapping
        return rows, fit(rows, constraints, k, mapping=mapping, before=before)

    def _trained(self, constraints: Constraints, **settings: Any) -> TextEmbedder | None:
        assert self._objective is not None
        start = self._start
        return trained(
            start.texts if start.tune else start.rows.astype(np.float32), constraints,
            self._objective, vectors=start.vectors, seed=self._seed, **settings,
        )  # fmt: skip


def _numbers(constraints: Constraints, k: HowMany) -> list[int]:
    """The numbers of clusters to try, the largest first."""
    old = np.unique(constraints.clusters[constraints.clusters != NONE])
    fixed = constraints.fixed
    named = np.unique(fixed[fixed != NONE])
    grown, kept = len(np.union1d(old, named)), max(len(old), len(named))
    counts = {"grow": [grown], "keep": [kept], "auto": sorted({grown, kept}, reverse=True)}
    tried = counts[k] if isinstance(k, str) else [k]
    if tried[0] < len(named):
        raise UserError(
            f"k is {k}, but corrections name {len(named)} clusters: ask for that many, or more"
        )
    return tried


def _best_number(
    learner: _Learner,
    constraints: Constraints,
    tried: Sequence[int],
    seed: int,
    tick: Callable[[float], object],
) -> tuple[int, HeldOut | None]:
    """The number of clusters, and how well hidden corrections are found with it.

    Args:
        learner: of the turn.
        constraints: with the clusters before the first turn: those of the last turn honour what is
            to be hidden.
        tried: the numbers, the first of which wins a tie.
        seed: of the folds.
        tick: see :func:`recluster`.
    """
    fits = itertools.count(1)

    def fitted(hidden: Constraints, k: int) -> Fit:
        _, found = learner.fitted(hidden, k)
        tick(next(fits) / (FOLDS * len(tried) + 1))
        return found

    judged = [held_out(constraints, partial(fitted, k=count), seed) for count in tried]
    scores = [0.0 if each is None else each.after.ari for each in judged]
    best = int(np.argmax(scores))
    return tried[best], judged[best]


def _confidence(found: Fit, constraints: Constraints, judged: HeldOut | None) -> Float64:
    temperature = 1.0 if judged is None else judged.temperature
    rows = np.arange(len(found.clusters))
    probabilities = softmax(-found.distances, temperature)[rows, found.clusters]
    return np.where(constraints.fixed == NONE, probabilities, 1.0)


def _suspects(judged: HeldOut | None) -> dict[int, int]:
    """Corrected rows that were put elsewhere while hidden, and where, the farthest first."""
    if judged is None:
        return {}
    wrong = np.flatnonzero((judged.clusters != judged.right) & np.isfinite(judged.doubts))
    order = wrong[np.argsort(-judged.doubts[wrong], kind="stable")]
    return dict(zip(judged.rows[order].tolist(), judged.clusters[order].tolist(), strict=True))


def _after(
    turn: Turn,
    said: Corrections,
    before: Turns | None,
    first: Int64,
    rows: Float64,
    sha256: str,
    settings: dict[str, Any],
    model: TextEmbedder | None,
) -> Turns:
    """All turns, this one included."""
    constraints, judged = turn.constraints, turn.held_out
    bans = {(row, str(name)) for row, name in said.not_here}
    if before is not None:
        bans |= {(row, said.renamed.get(name, name)) for row, name in before.bans}
    names = [*constraints.names]
    names += sorted({name for _, name in bans} - set(names))
    places = {name: place for place, name in enumerate(names)}
    entry: dict[str, Any] = {
        "turn": turn.number,
        "corrected": int((constraints.corrected != NONE).sum()),
        "must_links": len(np.reshape(said.must, (-1, 2))),
        "cannot_links": len(np.reshape(said.cannot, (-1, 2))),
        "clusters": len(np.unique(turn.fit.clusters)),
        "moved": int(turn.moved.sum()),
        **settings,
        "held_out": None if judged is None else {
            "rows": len(judged.rows),
            "ari": [judged.before.ari, judged.after.ari],
            "ami": [judged.before.ami, judged.after.ami],
        },
        "ask": turn.ask,
    }  # fmt: skip
    return Turns(
        names,
        turn.fit.clusters,
        first,
        constraints.corrected,
        _pairs(said.must),
        _pairs(said.cannot),
        np.array([(row, places[name]) for row, name in sorted(bans)], dtype=np.int64).reshape(
            -1, 2
        ),
        rows.astype(np.float32),
        turn.fit.mapping,
        [*([] if before is None else before.history), entry],
        sha256,
        model,
    )


def _pairs(given: npt.ArrayLike) -> Int64:
    return np.asarray(given, dtype=np.int64).reshape(-1, 2)


def _check_number(k: HowMany) -> None:
    if k in ("grow", "keep", "auto"):
        return
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise UserError(f"k is {shown(k)}, expected a number from 1, or grow, keep or auto")
