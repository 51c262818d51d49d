"""Clusters that learn from corrections: a turn of many texts, and the one tool with such a loop.

The vectors are drawn around the centres of their classes, and the old clusters are k-means. The
peer is COP-KMeans of interactive-clustering (Wagstaff et al. 2001), with the links that the same
corrections imply; neither side learns vectors of texts.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cognitivefactory.interactive_clustering.clustering import kmeans as peer
from cognitivefactory.interactive_clustering.constraints.binary import BinaryConstraintsManager
from scipy.sparse import csr_matrix, vstack

from benchmarks.rounds import Case, Options
from textmetric import recluster
from textmetric.measures import agreement, kmeans
from textmetric.reclustering import Corrections
from textmetric.reclustering.corrections import checked
from textmetric.reclustering.learn import principal
from textmetric.reclustering.seeded import fit
from textmetric.types import Float32, Int64

WIDTH = 384
CORRECTED = 50


def cases(options: Options) -> Iterator[Case]:
    """The second turn of 20,000 texts, then 1,000 texts against the peer."""
    rows = 1_000 if options.quick else 20_000
    vectors, labels, old = made(rows, 20 if options.quick else 100)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        turn(vectors, labels, old.tolist(), 0, first)

        def again() -> float:
            shutil.rmtree(second, ignore_errors=True)
            shutil.copytree(first, second)
            return turn(vectors, labels, None, 1, second)

        yield Case("recluster", f"the second turn, {rows:,} texts", again)
    vectors, labels, old = made(200 if options.quick else 1_000, 20)
    about = f"{len(labels):,} texts, the links of {CORRECTED} of them"
    for case, side in (("clusters", clusters), ("a whole turn", whole_turn)):
        yield Case(
            "recluster",
            f"{case}, {about}",
            partial(side, vectors, labels, old),
            "COP-KMeans of interactive-clustering",
            partial(theirs, vectors, labels),
            goal=1 / 50,
            check=partial(as_good, labels),
            calls=3,
        )


def made(rows: int, classes: int) -> tuple[Float32, Int64, Int64]:
    """Vectors (n, d), their classes (n,) and old clusters (n,)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, WIDTH))
    vectors = (centres[labels] + 3 * rng.normal(size=(rows, WIDTH))).astype(np.float32)
    return vectors, labels, kmeans(vectors, classes, starts=1)


def turn(
    vectors: Float32, labels: Int64, clusters: list[Any] | None, number: int, folder: Path
) -> float:
    """A turn that corrects one hundredth, hidden corrections measured; the ARI."""
    each = len(labels) // 100
    said: list[Any] = [None] * len(labels)
    for row in np.random.default_rng(1).permutation(len(labels))[number * each :][:each].tolist():
        said[row] = f"class {labels[row]}"
    texts = [str(row) for row in range(len(labels))]
    found = recluster(texts, clusters, said, vectors=vectors, k="keep", folder=folder)
    return agreement(labels, found.fit.clusters).ari


def links(labels: Int64) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Must-links and cannot-links of all pairs of the corrected rows."""
    pairs = list(itertools.combinations(range(CORRECTED), 2))
    same = [bool(labels[one] == labels[other]) for one, other in pairs]
    must = [pair for pair, alike in zip(pairs, same, strict=True) if alike]
    return must, [pair for pair, alike in zip(pairs, same, strict=True) if not alike]


def as_good(labels: Int64, one: Int64, other: Int64) -> str:
    """How well both sides agree with the classes."""
    ours, theirs = (agreement(labels, found).ari for found in (one, other))
    return f"ARI {ours:.3f} and {theirs:.3f}"


def clusters(vectors: Float32, labels: Int64, old: Int64) -> Int64:
    """The clusters alone, without a trained space."""
    constraints = checked(old, Corrections(None, *links(labels)))
    found = fit(principal(vectors), constraints, int(labels.max()) + 1)
    assert constraints.violations(found.clusters) == 0
    return found.clusters


def whole_turn(vectors: Float32, labels: Int64, old: Int64) -> Int64:
    """The clusters after a turn of the same corrections: moves and questions are found, too."""
    texts = [str(row) for row in range(len(labels))]
    said = Corrections(None, *links(labels))
    found = recluster(texts, old.tolist(), said, vectors=vectors, k=int(labels.max()) + 1)
    return found.fit.clusters


def theirs(vectors: Float32, labels: Int64) -> Int64:
    """The clusters of COP-KMeans with the links of the same corrections."""
    names = [str(row) for row in range(len(labels))]
    peer.vstack = lambda rows: vstack(list(rows))  # it gives a generator, which scipy now refuses
    manager = BinaryConstraintsManager(list_of_data_IDs=names)
    for kind, pairs in zip(("MUST_LINK", "CANNOT_LINK"), links(labels), strict=True):
        for one, other in pairs:
            manager.add_constraint(str(one), str(other), kind)
    model = peer.KMeansConstrainedClustering(random_seed=0)
    rows = {name: csr_matrix(row) for name, row in zip(names, vectors, strict=True)}
    found = model.cluster(manager, rows, nb_clusters=int(labels.max()) + 1)
    return np.array([found[name] for name in names], dtype=np.int64)
