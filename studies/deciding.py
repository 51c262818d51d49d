r"""What decides between classification and metric learning?

Two parts. Sweeps change one factor at a time and keep all else: the number of classes, the rows a
class, their imbalance, wrong labels, the temperature, the classes in a batch, and the width. The
test parts stay as they are: their labels are right, and their classes equally large. A rule is
fitted to small tables drawn from many corpora, each compared as ``textmetric compare`` does: from
the rows a class, the number of classes, the imbalance and TF-IDF's accuracy to the difference of
the families. It is tested on corpora that were left out of the fit.

Sweeps need a corpus with 20 classes of 90 train rows; others take part in the rule alone. Each
finished training is a small file, named by a hash of all it depends on: the job can be interrupted,
and a second run does only what is missing. Writes deciding.md and two pictures, and with --rule the
rule that ``textmetric compare`` reads. About 20 minutes for 10 corpora on 2 cores.

Examples:
    python -m studies.deciding
    python -m studies.deciding --corpora docstrings trec ag_news clinc150.csv.gz banking77 \
        --rule textmetric/compare/rule.json
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from studies import deciding_page, options
from studies.deciding_jobs import Training, run_trainings
from studies.deciding_rule import written
from studies.deciding_tables import PURPOSES, Table, run_tables
from studies.deciding_variants import (
    SWEEPS,
    Draw,
    Point,
    Sweep,
    designs,
    fitting,
    generator,
    table_of,
    thinned,
)
from studies.inputs import read_corpus, store
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError, printable
from textmetric.files import replacing_file, write_json
from textmetric.grid import Family
from textmetric.params import Params
from textmetric.report.original import corpus_title
from textmetric.sampling.batches import steps_per_epoch
from textmetric.text import TokenizedCorpus, tokenize_corpus

OBJECTIVES = {Family.CLASSIFICATION: "cross_entropy", Family.METRIC: "triplet"}
WITH_TEMPERATURE = {Family.CLASSIFICATION: "norm_softmax", Family.METRIC: "sup_con"}
STEPS = 300
"""Of a training at least: small tables get more epochs, so that none is cut short."""
FEWEST_LEVELS = 3
FEWEST_CORPORA = 3
"""For a rule, which is tested on one of them and chooses its penalty on the others."""


class Source(NamedTuple):
    """A corpus: its title, all of its rows, and the same as tokens."""

    title: str
    frame: pd.DataFrame
    corpus: TokenizedCorpus


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page, the pictures and the rule."""
    params = options.read_params(arguments)
    if len(arguments.corpora) < FEWEST_CORPORA:
        raise UserError(f"--corpora has {len(arguments.corpora)}: give {FEWEST_CORPORA} or more")
    for name, least in (("tables", 1), ("splits", 1), ("most", 100)):
        value = getattr(arguments, name)
        if np.min(value) < least:
            raise UserError(f"--{name} is {np.min(value)}, expected at least {least}")
    sources = [read_source(word, params) for word in arguments.corpora]
    titles = [source.title for source in sources]
    if len(set(titles)) < len(titles):
        raise UserError(f"--corpora names {printable(', '.join(titles))}: give each corpus once")
    folder = arguments.results / "deciding"
    rows, trainings = [], []
    for source in sources:
        for row, training in swept(source, params, arguments):
            rows.append(row)
            trainings.append(training)
    results = run_trainings(trainings, folder)
    sweeps = pd.DataFrame([row | found for row, found in zip(rows, results, strict=True)])
    planned = [each for source in sources for each in planned_tables(source, arguments)]
    found = run_tables([table for _, table in planned], folder)
    tables = pd.DataFrame(
        [
            {"corpus": title}
            | one["facts"]
            | {name: float(np.mean([math.nan if v is None else v for v in one[name]]))
               for name in PURPOSES}
            for (title, _), one in zip(planned, found, strict=True)
        ]
    )  # fmt: skip
    known = tables.dropna().reset_index(drop=True)
    about = deciding_page.About(
        params=params,
        seeds=arguments.seeds,
        splits=arguments.splits,
        most=arguments.most,
        failed=len(tables) - len(known),
    )
    out: Path = arguments.out
    with replacing_file(out / "deciding.md") as path:
        path.write_text(deciding_page.page(sweeps, known, about), encoding="utf-8")
    drawn = deciding_page.draw(sweeps, known, out)
    written_files = [out / "deciding.md", *drawn]
    if arguments.rule is not None:
        write_json(arguments.rule, written(known, list(PURPOSES)))
        written_files.append(arguments.rule)
    print(", ".join(map(str, written_files)))


def read_source(word: str, params: Params) -> Source:
    """Read and tokenise a corpus.

    Raises:
        UserError: see :func:`.read_corpus`.
    """
    data = params.data
    read = read_corpus(options.mapping_or_name(word), data, INTERACTIVE)
    tokens = tokenize_corpus(
        read.frame, min_freq=data.min_freq, max_size=data.max_size, progress=INTERACTIVE
    )
    return Source(corpus_title(read.summary), read.frame.dropna(subset=["label"]), tokens)


def swept(
    source: Source, params: Params, arguments: argparse.Namespace
) -> Iterator[tuple[dict[str, Any], Training]]:
    """The trainings of all sweeps on a corpus, each with its row; none if it is too small."""
    for name, sweep in SWEEPS.items():
        points = able(sweep, len(fitting(source.corpus, sweep.needed)))
        if len(points) < FEWEST_LEVELS:
            continue
        for point in points:
            for seed in arguments.seeds:
                made = thinned(source.corpus, sweep.needed, point, seed)
                folder = store(made, arguments.results / "corpora")
                for family in Family:
                    row = {"sweep": name, "level": float(getattr(point, sweep.factor))}
                    yield (
                        row | {"corpus": source.title, "family": family, "seed": seed},
                        training(folder, made, family, point, seed, params),
                    )


def able(sweep: Sweep, classes: int) -> list[Point]:
    """The points of a sweep that a corpus with this number of large classes can have."""
    return [point for point in sweep.points() if point.classes <= classes]


def training(
    folder: Path, corpus: TokenizedCorpus, family: Family, point: Point, seed: int, params: Params
) -> Training:
    """One family at one point."""
    objective: dict[str, Any] = {"name": OBJECTIVES[family]}
    if point.temperature is not None:
        objective = {"name": WITH_TEMPERATURE[family], "temperature": point.temperature}
    settings = params.train
    steps = steps_per_epoch(len(corpus.train), settings.batch_size)
    epochs = max(settings.epochs, math.ceil(STEPS / steps))
    return Training(
        corpus=folder,
        family=family,
        objective=objective,
        sampler="balanced",
        model=params.model.model_copy(update={"dim": point.width}),
        settings=settings.model_copy(update={"epochs": epochs}),
        seed=seed,
        neighbours=params.evaluate.neighbours,
        in_batch=None if point.in_batch is None else int(point.in_batch),
    )


def planned_tables(source: Source, arguments: argparse.Namespace) -> Iterator[tuple[str, Table]]:
    """The tables of a corpus for the rule.

    Raises:
        UserError: the corpus is too small.
    """
    _, counts = np.unique(source.frame["label"].astype(str), return_counts=True)
    seeds = generator(0, Draw.DESIGN, 1).integers(1 << 31, size=arguments.tables).tolist()
    for most in arguments.most:
        for design, seed in zip(designs(counts, arguments.tables, most, 0), seeds, strict=True):
            texts, labels = table_of(source.frame, design, seed)
            yield source.title, Table(texts, labels, arguments.splits, seed)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.deciding", __doc__)
    made.add_argument(
        "--corpora", nargs="+", metavar="SPEC",
        required=True,
        help="three or more: built-in names, paths, or mappings, see docs/corpora.md",
    )  # fmt: skip
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3], help="(0 1 2 3)")
    made.add_argument("--epochs", type=int, help="of the sweeps (train.epochs of params.yaml)")
    made.add_argument(
        "--tables",
        type=int,
        default=12,
        help="of each corpus and of each --most, for the rule (%(default)s)",
    )
    made.add_argument("--splits", type=int, default=3, help="of each table (%(default)s)")
    made.add_argument(
        "--most", nargs="+", type=int, default=[1000, 6000],
        help="rows of a table at most; each gives tables of an eighth of that on (1000 6000)",
    )  # fmt: skip
    made.add_argument("--rule", type=Path, metavar="FILE", help="also write the rule here")
    made.set_defaults(limit=None)
    options.add_files(made, "where the page and the pictures go")
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
