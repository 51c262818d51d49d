"""Small tables compared as ``textmetric compare`` does: their facts, and which family is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from studies.names import PACKAGES, name_of
from textmetric import parallel
from textmetric.command import INTERACTIVE
from textmetric.compare import ARMS, Comparison
from textmetric.compare.learners import Job, compile_for, on_split
from textmetric.compare.prior import facts_of
from textmetric.compare.purposes import by_name
from textmetric.compare.table import read_table
from textmetric.files import read_json, write_json
from textmetric.grid import Family
from textmetric.losses import module_of
from textmetric.sampling.streams import Stream, generator_of

PURPOSES = ("classify", "retrieval")


class Table(NamedTuple):
    """A table to compare on.

    Attributes:
        texts: n texts.
        labels: n labels.
        splits: how many resampled splits.
        seed: of the splits.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    splits: int
    seed: int

    def key(self) -> str:
        """The name of the result: a hash of the above, the code and the packages that count."""
        objectives = [module_of(arm.family, {"name": arm.objective}) for arm in ARMS]
        return name_of(
            [*self],
            "studies.deciding_tables",
            *dict.fromkeys(objectives),
            packages=[*PACKAGES, "scikit-learn"],
        )


def run_tables(tables: Sequence[Table], results: Path) -> list[dict[str, Any]]:
    """What each table gave, in their order; what is in the folder is read, the rest done.

    Returns:
        Of each ``facts``, those of :class:`.Facts` by name; and by purpose the differences metric −
        classification, one for each split, each family at its best by the validation part.
    """
    files = [results / f"{table.key()}.json" for table in tables]
    if parallel.unfinished(tables, files):
        compile_for(ARMS)
    parallel.finish(_run, tables, files, label="tables", unit="table", progress=INTERACTIVE)
    return [read_json(file) for file in files]


def _run(job: tuple[Table, Path], tick: Callable[[], None]) -> None:
    table, file = job
    read = read_table(table.texts, table.labels)
    seeds = generator_of(table.seed, Stream.RESAMPLES).integers(1 << 32, size=table.splits).tolist()
    found: dict[str, Any] = {"facts": facts_of(read.corpus, seeds[0])._asdict()}
    for name in PURPOSES:
        purpose = by_name(name)
        comparison = Comparison(
            purpose=purpose,
            classes=read.corpus.label_names,
            rows=len(read.corpus.train),
            given=read.given,
            left_out=read.left_out,
            arms=ARMS,
            seeds=seeds,
            splits=[on_split(Job(read.corpus, purpose, ARMS, seed), _idle) for seed in seeds],
            wall_seconds=0.0,
            cpu_seconds=0.0,
        )
        metric, classification = (
            comparison.of_family(family) for family in (Family.METRIC, Family.CLASSIFICATION)
        )
        found[name] = (metric - classification).tolist()
    write_json(file, found)
    tick()


def _idle() -> None:
    """The bar counts tables."""
