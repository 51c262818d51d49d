"""What :mod:`studies.recluster` measures: recluster, its peers, turns, objectives and parts."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import load_npz
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances

from studies.names import name_of
from studies.recluster_page import KMEANS, NONE, OLD, OURS, SHARE, TUNED
from textmetric import parallel, recluster
from textmetric.command import INTERACTIVE
from textmetric.files import read_json, write_array, write_json
from textmetric.mahalanobis import Mahalanobis
from textmetric.measures import agreement, unit
from textmetric.reclustering import Corrections, Turn
from textmetric.reclustering.corrections import checked
from textmetric.reclustering.learn import principal, trained
from textmetric.reclustering.seeded import fit
from textmetric.reclustering.turn import OBJECTIVE
from textmetric.types import Float32, Float64, Int64

TURNS = 10
KEPT = 0.2
"""Share of the texts that no turn corrects."""
OBJECTIVES = ("cross_entropy", "triplet", "sup_con")
"""The first is classification, the others are metric learning."""
PARTS: dict[str, dict[str, Any]] = {
    "old clusters do not count in the distance": {"uncorrected": 0.0},
    "the distance is not learnt": {"shrinkage": 1.0},
    "sizes are free": {"sized": False},
    "old clusters hardly count in the classifier": {"weak": 0.001},
    "the nearest centre decides": {"weak": 0.0},
}
"""What is left out, and the arguments of :func:`.fit` that do so."""
Way = Callable[[Float64, Int64, Int64, int, int], Int64]
_STEPS = 20
_PENALTY = 1.0
"""Of a violated constraint of PCK-means, in units of a typical squared distance."""


def cop_kmeans(rows: Float64, known: Int64, fixed: Int64, k: int, seed: int) -> Int64:
    """COP-KMeans with labels: corrected texts of a class must, those of two cannot, be together.

    With labels for constraints, a text that nobody corrected is bound by nothing, so that greedy
    assignment cannot fail: each class is a group, which goes to the nearest cluster that no other
    class has. The centres start at rows drawn at random, as in the paper.

    Args:
        rows: (n, d).
        known: (m,) places of the corrected rows.
        fixed: (m,) their classes.
        k: clusters.
        seed: of the start.
    """
    centres = rows[np.random.default_rng(seed).choice(len(rows), k, replace=False)]
    clusters = np.zeros(len(rows), dtype=np.int64)
    for _ in range(_STEPS):
        clusters = euclidean_distances(rows, centres, squared=True).argmin(axis=1)
        taken: set[int] = set()
        for each in np.unique(fixed):
            members = known[fixed == each]
            order = (
                euclidean_distances(rows[members], centres, squared=True)
                .sum(axis=0)
                .argsort(kind="stable")
            )
            chosen = next(int(place) for place in order if int(place) not in taken)
            taken.add(chosen)
            clusters[members] = chosen
        centres = _centres(rows, clusters, centres)
    return clusters


def pck_means(rows: Float64, known: Int64, fixed: Int64, k: int, seed: int) -> Int64:
    """PCK-means with labels: a cluster costs a penalty for each constraint that it violates.

    Args:
        rows: see :func:`cop_kmeans`, as for the others.
        known: see there.
        fixed: see there.
        k: see there.
        seed: of the centres that no class starts, and of the order of the corrected rows.
    """
    rng = np.random.default_rng(seed)
    start = [rows[known[fixed == each]].mean(axis=0) for each in np.unique(fixed)][:k]
    more = rows[rng.choice(len(rows), k - len(start), replace=False)]
    centres = np.concatenate([np.stack(start), more])
    clusters = euclidean_distances(rows, centres, squared=True).argmin(axis=1)
    of_row = dict(zip(known.tolist(), fixed.tolist(), strict=True))
    for _ in range(_STEPS):
        distances = euclidean_distances(rows, centres, squared=True)
        penalty = _PENALTY * float(np.median(distances.min(axis=1)))
        clusters = np.where(
            np.isin(np.arange(len(rows)), known), clusters, distances.argmin(axis=1)
        )
        counts = np.zeros((k, int(fixed.max()) + 1))
        np.add.at(counts, (clusters[known], fixed), 1)
        for row in rng.permutation(known).tolist():
            own = of_row[row]
            counts[clusters[row], own] -= 1
            must = counts[:, own].sum() - counts[:, own]  # those of its class that are elsewhere
            cannot = counts.sum(axis=1) - counts[:, own]
            clusters[row] = (distances[row] + penalty * (must + cannot)).argmin()
            counts[clusters[row], own] += 1
        centres = _centres(rows, clusters, centres)
    return np.asarray(clusters, dtype=np.int64)


def mahalanobis(rows: Float64, known: Int64, fixed: Int64, k: int, seed: int) -> Int64:
    """K-means under the distance of :class:`.Mahalanobis` of the corrected rows.

    On the first 128 principal components and with a ridge of .1: of those tried, the best.
    """
    few = principal(rows)
    learnt = Mahalanobis(ridge=0.1, random_state=seed).fit(few[known], fixed)
    return kmeans(learnt.transform(few), k, seed)


def nearest_centroid(rows: Float64, known: Int64, fixed: Int64, *_: int) -> Int64:
    """The class of the corrected rows with the nearest mean."""
    means = np.stack([rows[known[fixed == each]].mean(axis=0) for each in np.unique(fixed)])
    return np.asarray(euclidean_distances(rows, means).argmin(axis=1), dtype=np.int64)


def logistic_regression(rows: Float64, known: Int64, fixed: Int64, *_: int) -> Int64:
    """What logistic regression on the corrected rows predicts."""
    learner = LogisticRegression(C=10, max_iter=1000).fit(rows[known], fixed)
    return np.asarray(learner.predict(rows), dtype=np.int64)


CLASSIFIERS: dict[str, Way] = {
    "nearest centroid": nearest_centroid,
    "logistic regression": logistic_regression,
}
CONSTRAINED: dict[str, Way] = {
    "COP-KMeans": cop_kmeans,
    "PCK-means": pck_means,
    "Mahalanobis and k-means": mahalanobis,
}
"""Measured at one share alone, since they take longer."""


def kmeans(rows: Any, k: int, seed: int) -> Int64:
    """K-means of unit rows, dense or sparse, the best of three starts."""
    return np.asarray(KMeans(k, n_init=3, random_state=seed).fit_predict(rows), dtype=np.int64)


def _centres(rows: Float64, clusters: Int64, before: Float64) -> Float64:
    centres = before.copy()
    for each in np.unique(clusters):
        centres[each] = rows[clusters == each].mean(axis=0)
    return centres


class Case(NamedTuple):
    """The texts of a corpus, their old clusters, and who is corrected.

    Attributes:
        vectors: (n, d) of the texts.
        labels: (n,) their classes.
        old: (n,) their old clusters.
        seed: of the corrections.
    """

    vectors: Float32
    labels: Int64
    old: Int64
    seed: int

    @property
    def k(self) -> int:
        """As many clusters as there are classes."""
        return int(self.labels.max()) + 1

    def scores(self, clusters: Int64, rows: Int64) -> dict[str, float]:
        """The agreement of clusters (n,) with the labels, on some rows."""
        found = agreement(self.labels[rows], clusters[rows])
        return {"ari": found.ari, "ami": found.ami}

    def drawn(self, share: float) -> tuple[Int64, Int64]:
        """The rows that are corrected, ascending, and the others."""
        order = np.random.default_rng(self.seed).permutation(len(self.labels))
        corrected = round(share * len(order))
        return np.sort(order[:corrected]), np.sort(order[corrected:])

    def said(self, known: Int64) -> list[str | None]:
        """The corrections of some rows."""
        found: list[str | None] = [None] * len(self.labels)
        for row in known.tolist():
            found[row] = f"class {self.labels[row]}"
        return found

    def turn(self, known: Int64, clusters: list[str] | None, **settings: Any) -> Turn:
        """Cluster again after the corrections of some rows."""
        texts = [str(row) for row in range(len(self.labels))]  # vectors stand for them
        return recluster(
            texts, clusters, self.said(known), vectors=self.vectors, k=self.k, hold_out=False,
            seed=self.seed, **settings,
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """(n,) the names of the old clusters."""
        return [str(each) for each in self.old.tolist()]


def of_peers(case: Case, share: float) -> Any:
    """The agreement of the peers, which do not look at the old clusters."""
    known, others = case.drawn(share)
    rows, fixed = unit(case.vectors), np.unique(case.labels[known], return_inverse=True)[1]
    ways = CLASSIFIERS | (CONSTRAINED if share == SHARE else {})
    return {
        "scores": {
            name: case.scores(way(rows, known, fixed, case.k, case.seed), others)
            for name, way in ways.items()
        }
    }


def one_share(case: Case, share: float) -> Any:
    """The agreement of the old clusters and of ours, and our violations."""
    known, others = case.drawn(share)
    turn = case.turn(known, case.names, ask=0)
    found = {OLD: case.old, OURS: turn.fit.clusters}
    return {
        "scores": {name: case.scores(each, others) for name, each in found.items()},
        "violations": turn.constraints.violations(turn.fit.clusters),
    }


def in_turns(case: Case, how: str) -> Any:
    """The agreement before and after each of ten turns of one hundredth, and the violations.

    Args:
        case: whose rows are corrected.
        how: ``ask`` for the rows that are asked for, ``random`` for random ones. The first turn is
            of the same random rows.
    """
    order = np.random.default_rng(case.seed).permutation(len(case.labels))
    kept, pool = np.split(order, [round(KEPT * len(order))])
    kept, each = np.sort(kept), max(1, round(0.01 * len(order)))
    known = pool[:each]
    found, violations = [case.scores(case.old, kept)], 0
    clusters: list[str] | None = case.names
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TURNS):
            # some of those that are asked for are among the kept
            asked = math.ceil(each / (1 - KEPT)) if how == "ask" else 0
            turn = case.turn(np.sort(known), clusters, folder=Path(folder, "turns"), ask=asked)
            clusters = None
            found.append(case.scores(turn.fit.clusters, kept))
            violations += turn.constraints.violations(turn.fit.clusters)
            free = pool[~np.isin(pool, known)]
            wanted = np.array([question.row for question in turn.ask], dtype=np.int64)
            wanted = wanted[np.isin(wanted, free)]
            drawn = free[~np.isin(free, wanted)]
            known = np.concatenate([known, np.concatenate([wanted, drawn])[:each]])
    return {"scores": found, "violations": violations}


def with_objectives(case: Case) -> Any:
    """The agreement with a projection that each objective trains, and with none."""
    known, others = case.drawn(SHARE)
    found = {}
    for objective in (*OBJECTIVES, None):
        turn = case.turn(known, case.names, ask=0, objective=objective)
        found[objective or NONE] = case.scores(turn.fit.clusters, others)
    return {"scores": found}


def with_tuned_vectors(case: Case, texts: list[str], vectors: str | None) -> Any:
    """The agreement where the token vectors are trained, not a projection."""
    known, others = case.drawn(SHARE)
    turn = recluster(
        texts, case.names, case.said(known), vectors=vectors, k=case.k, hold_out=False, ask=0,
        tune=True, seed=case.seed,
    )  # fmt: skip
    return {"scores": {TUNED: case.scores(turn.fit.clusters, others)}}


def without_parts(case: Case) -> Any:
    """The agreement with one part of the method left out."""
    known, others = case.drawn(SHARE)
    before = principal(case.vectors)
    constraints = checked(case.names, Corrections(case.said(known)))
    model = trained(before.astype(np.float32), constraints, OBJECTIVE, seed=case.seed)
    rows = before if model is None else unit(model.transform(before.astype(np.float32)))
    ways: dict[str, dict[str, Any]] = {OURS: {}, **PARTS}
    fits = {
        name: fit(rows, constraints, case.k, before=before, **settings)
        for name, settings in ways.items()
    }
    return {"scores": {name: case.scores(each.clusters, others) for name, each in fits.items()}}


class Job(NamedTuple):
    """Something to do for a corpus.

    Attributes:
        folder: of the corpus.
        start: what the old clusters are made of.
        seed: of these and of the corrections.
        name: what is done; "" to make the old clusters alone.
    """

    folder: Path
    start: str
    seed: int
    name: str

    @property
    def file(self) -> Path:
        """Where the result is."""
        if not self.name:
            return self.folder / f"old-{self.start}-{self.seed}.npy"
        return self.folder / _code() / f"{self.start}-{self.name}-{self.seed}.json"

    @property
    def reads(self) -> list[Path]:
        """The files that it reads."""
        names = ("labels.npy", "vectors.npy", "tfidf.npz", "texts.json")
        own = [self.folder / name for name in names]
        return [*own, self._replace(name="").file] if self.name else own

    def run(self) -> None:
        """Do it, and write the result."""
        labels = np.load(self.folder / "labels.npy")
        if not self.name:
            sparse = self.start == "tfidf"
            rows = load_npz(self.folder / "tfidf.npz") if sparse else unit(self._vectors())
            write_array(self.file, kmeans(rows, int(labels.max()) + 1, self.seed))
            return
        old = np.load(self._replace(name="").file)
        case = Case(self._vectors(), labels, old, self.seed)
        kind, _, value = self.name.partition("-")
        if kind == "share":
            found = one_share(case, float(value))
        elif kind == "peers":
            found = of_peers(case, float(value))
            found["scores"][KMEANS] = case.scores(old, case.drawn(float(value))[1])
        elif kind == "turns":
            found = in_turns(case, value)
        elif kind == "tuned":
            found = with_tuned_vectors(case, **read_json(self.folder / "texts.json"))
        else:
            found = {"objectives": with_objectives, "parts": without_parts}[kind](case)
        write_json(self.file, found)

    def _vectors(self) -> Float32:
        return np.asarray(np.load(self.folder / "vectors.npy"))


@cache
def _code() -> str:
    """The name of the results of this code."""
    return name_of(None, "studies.recluster_jobs")


def _run(job: tuple[Job, Path], tick: Callable[[], None]) -> None:
    job[0].run()
    tick()


def finish(jobs: Sequence[Job], label: str) -> None:
    """Do the jobs whose result is not there yet, in parallel processes."""
    parallel.finish(
        _run,
        jobs,
        [job.file for job in jobs],
        files=lambda pair: parallel.Files(pair[0].reads, [pair[1]]),
        label=label,
        unit="job",
        progress=INTERACTIVE,
    )
