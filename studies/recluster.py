"""Do clusters that learn from corrections beat what else could be done with the corrections?

A simulated user corrects texts by their true labels: a share of all at random, or the ones that
are asked for, in turns of one hundredth. Agreement with the labels (ARI and AMI) is measured on the
texts that nobody corrected. Next to it: the old clusters; the nearest centroid and logistic
regression of the corrected texts; COP-KMeans (Wagstaff et al. 2001) and PCK-means (Basu, Banerjee &
Mooney 2004) with labels as their constraints; and k-means under a learnt Mahalanobis distance
(MMC).

Writes recluster-study.md. What is finished is in --results, and is not done again.

Examples:
    python -m studies.recluster --corpora trec.csv --vectors all-MiniLM-L6-v2
    python -m studies.recluster --corpora trec.csv --start tfidf --shares .05 --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances

from studies import options
from studies.inputs import read_corpus
from textmetric import command, recluster
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_file, write_json
from textmetric.mahalanobis import Mahalanobis
from textmetric.measures import agreement, mean_interval, unit
from textmetric.params import read
from textmetric.reclustering.vectors import text_vectors
from textmetric.report.formats import plain, table, with_interval
from textmetric.report.original import corpus_title
from textmetric.types import Float32, Float64, Int64

SHARES = (0.01, 0.05, 0.1, 0.25)
TURNS = 10
OURS = "recluster"
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
    """K-means under the distance of :class:`.Mahalanobis` of the corrected rows."""
    learnt = Mahalanobis(random_state=seed).fit(rows[known], fixed)
    return kmeans_of(learnt.transform(rows), k, seed)


def nearest_centroid(rows: Float64, known: Int64, fixed: Int64, *_: int) -> Int64:
    """The class of the corrected rows with the nearest mean."""
    means = np.stack([rows[known[fixed == each]].mean(axis=0) for each in np.unique(fixed)])
    return np.asarray(euclidean_distances(rows, means).argmin(axis=1), dtype=np.int64)


def logistic_regression(rows: Float64, known: Int64, fixed: Int64, *_: int) -> Int64:
    """What logistic regression on the corrected rows predicts."""
    learner = LogisticRegression(C=10, max_iter=1000).fit(rows[known], fixed)
    return np.asarray(learner.predict(rows), dtype=np.int64)


PEERS: dict[str, Callable[[Float64, Int64, Int64, int, int], Int64]] = {
    "nearest centroid": nearest_centroid,
    "logistic regression": logistic_regression,
    "COP-KMeans": cop_kmeans,
    "PCK-means": pck_means,
    "Mahalanobis and k-means": mahalanobis,
}


def one_share(vectors: Float32, old: Int64, labels: Int64, share: float, seed: int) -> Any:
    """The agreement of every way on the rows that were not corrected, and our violations."""
    chosen = np.random.default_rng(seed).permutation(len(labels))[: round(share * len(labels))]
    known = np.sort(chosen)
    rows = unit(vectors)
    fixed = np.unique(labels[known], return_inverse=True)[1].astype(np.int64)
    k = int(old.max()) + 1
    others = np.setdiff1d(np.arange(len(labels)), known)
    found = {name: way(rows, known, fixed, k, seed) for name, way in PEERS.items()}
    turn = _turn(vectors, old, labels, known, max(k, len(np.unique(fixed))), seed)
    found |= {"old clusters": old, OURS: turn.fit.clusters}
    scores = {name: _scores(labels[others], each[others]) for name, each in found.items()}
    return {"scores": scores, "violations": turn.constraints.violations(turn.fit.clusters)}


def in_turns(
    vectors: Float32, old: Int64, labels: Int64, seed: int, *, ask: bool, folder: Path
) -> list[Any]:
    """The agreement after each of ten turns of one hundredth, on rows that were not corrected."""
    rng = np.random.default_rng(seed)
    texts = [str(row) for row in range(len(labels))]
    k, each = max(int(old.max()), int(labels.max())) + 1, max(1, round(0.01 * len(labels)))
    known = np.sort(rng.permutation(len(labels))[:each])
    clusters: list[str] | None = [str(cluster) for cluster in old]
    found = []
    for _ in range(TURNS):
        turn = recluster(
            texts, clusters, _said(labels, known), vectors=vectors, k=k, folder=folder,
            ask=each, seed=seed,
        )  # fmt: skip
        clusters = None
        others = np.setdiff1d(np.arange(len(labels)), known)
        found.append(_scores(labels[others], turn.fit.clusters[others]))
        wanted = [question.row for question in turn.ask if question.row in others] if ask else []
        drawn = [row for row in rng.permutation(others).tolist() if row not in set(wanted)]
        known = np.union1d(known, [*wanted, *drawn][:each])
    return found


def _turn(vectors: Float32, old: Int64, labels: Int64, known: Int64, k: int, seed: int) -> Any:
    texts = [str(row) for row in range(len(labels))]
    return recluster(texts, old.astype(str), _said(labels, known), vectors=vectors, k=k, seed=seed)


def _said(labels: Int64, known: Int64) -> list[str | None]:
    said: list[str | None] = [None] * len(labels)
    for row in known.tolist():
        said[row] = f"class {labels[row]}"
    return said


def _scores(labels: Int64, clusters: Int64) -> dict[str, float]:
    found = agreement(labels, clusters)
    return {"ari": found.ari, "ami": found.ami}


def kmeans_of(rows: Any, k: int, seed: int) -> Int64:
    """K-means of rows, dense or sparse, the best of ten starts."""
    return np.asarray(KMeans(k, n_init=10, random_state=seed).fit_predict(rows), dtype=np.int64)


def _centres(rows: Float64, clusters: Int64, before: Float64) -> Float64:
    centres = before.copy()
    for each in np.unique(clusters):
        centres[each] = rows[clusters == each].mean(axis=0)
    return centres


def jobs(arguments: argparse.Namespace) -> list[tuple[str, int]]:
    """What is done for a corpus: a share that is corrected at once, or turns; each with a seed."""
    names = [*(f"share-{share:g}" for share in arguments.shares), "turns-ask", "turns-random"]
    return [(name, seed) for seed in arguments.seeds for name in names]


def finish(name: str, seed: int, vectors: Float32, old: Int64, labels: Int64, folder: Path) -> Any:
    """The result of a job, done now unless it is in ``folder``."""
    path = folder / f"{name}-{seed}.json"
    if path.is_file():
        return read_json(path)
    kind, _, value = name.partition("-")
    if kind == "share":
        found = one_share(vectors, old, labels, float(value), seed)
    else:
        with tempfile.TemporaryDirectory() as turns:
            place = Path(turns, "turns")
            found = in_turns(vectors, old, labels, seed, ask=value == "ask", folder=place)
    write_json(path, found)
    return found


def main(arguments: argparse.Namespace) -> None:
    """Do what is missing for each corpus, write the tables."""
    params = read(arguments.params)
    if min(arguments.seeds) < 0 or len(set(arguments.seeds)) < len(arguments.seeds):
        raise UserError(f"--seeds is {arguments.seeds}: give different whole numbers from 0")
    if not all(0 < share < 1 for share in arguments.shares):
        raise UserError(f"--shares is {arguments.shares}: give shares between 0 and 1")
    blocks = []
    for word in arguments.corpora:
        corpus = read_corpus(options.mapping_or_name(word), params.data, INTERACTIVE)
        frame = corpus.frame[corpus.frame["split"] == "train"]
        texts = frame["text"].tolist()
        labels = np.unique(frame["label"].astype(str), return_inverse=True)[1].astype(np.int64)
        vectors = text_vectors(texts, arguments.vectors, progress=INTERACTIVE)
        started = TfidfVectorizer().fit_transform(texts) if arguments.start == "tfidf" else vectors
        digest = hashlib.sha256(vectors.tobytes() + labels.tobytes()).hexdigest()[:24]
        folder = arguments.results / "recluster" / f"{digest}-{arguments.start}"
        found = {}
        for name, seed in jobs(arguments):
            old = kmeans_of(started, int(labels.max()) + 1, seed)
            found[name, seed] = finish(name, seed, vectors, old, labels, folder)
            print(word, name, seed, flush=True)
        blocks.append(f"## {plain(corpus_title(corpus.summary))}\n\n{_tables(found)}")
    text = _PAGE.format(seeds=len(arguments.seeds), blocks="\n\n".join(blocks))
    with replacing_file(arguments.out / "recluster-study.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _tables(found: Mapping[tuple[str, int], Any]) -> str:
    names = list(dict.fromkeys(name for name, _ in found))
    shares = [name for name in names if name.startswith("share")]
    rows = []
    for way in ("old clusters", *PEERS, OURS):
        cells = [
            _interval([each["scores"][way] for (of, _), each in found.items() if of == name])
            for name in shares
        ]
        rows.append([way, *cells])
    violated = sum(each["violations"] for (name, _), each in found.items() if name in shares)
    text = table(["ARI / AMI", *(f"{float(name[6:]):.0%}" for name in shares)], rows)
    turns = [name for name in names if name.startswith("turns")]
    lines = [
        [
            name.removeprefix("turns-"),
            *(
                _interval([each[turn] for (of, _), each in found.items() if of == name])
                for turn in range(TURNS)
            ),
        ]
        for name in turns
    ]
    head = ["turn", *(str(turn + 1) for turn in range(TURNS))]
    return f"{text}\n\nViolated corrections: {violated}.\n\n{table(head, lines)}"


def _interval(scores: Sequence[Mapping[str, float]]) -> str:
    return " / ".join(
        with_interval(mean_interval(np.array([each[name] for each in scores])))
        for name in ("ari", "ami")
    )


_PAGE = """# Clusters that learn from corrections: the study

Written by `python -m studies.recluster`. A simulated user corrects a share of the texts by their
labels; ARI / AMI on the others, means over {seeds} draws, ± half of the 95 % interval. Turns
correct one hundredth each, at random or what is asked for.

{blocks}
"""


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command.parser("studies.recluster", __doc__)
    parser.add_argument("--corpora", nargs="+", required=True, metavar="SPEC")
    parser.add_argument("--vectors", metavar="NAME", help="token vectors (LSA of the texts)")
    parser.add_argument(
        "--start",
        choices=("vectors", "tfidf"),
        default="vectors",
        help="what k-means makes the old clusters of (%(default)s)",
    )
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, help="(.01 .05 .1 .25)")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)), help="(0 … 9)")
    options.add_files(parser, "where the tables go")
    return parser


if __name__ == "__main__":
    command.run(main, _parser(), after_interrupt=options.AFTER_INTERRUPT)
