"""How many labelled texts a class does it take? Both families, from every start of the encoder.

From each class 2, 4, 8, 16, 64, 256 and all rows are drawn, several times. Both families are
trained on them, with the encoder at random and, with --vectors, from given token vectors; each of
these again after pre-training on all train texts without their labels (--unlabelled); and as a
linear layer over the vectors of a sentence encoder that stays as it is (--frozen). Next to them are
TF-IDF with logistic regression, and the encoders before training.

Measured on the whole test part: accuracy, by the head of classification and the nearest class
centroid of metric learning, and MAP@R. Each cell takes the learning rate that is best on the
validation part by the measure that is shown. Where two lines cross is said with a bootstrap
interval over the draws.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes label-budget.md and
label-budget.png.

Examples:
    python -m studies.label_budget
    python -m studies.label_budget --corpus ag_news --vectors all-MiniLM-L6-v2 --unlabelled
    python -m studies.label_budget --corpus ag_news --frozen all-MiniLM-L6-v2
    python -m studies.label_budget --budgets 8 64 --draws 0 1 2
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from studies import charts, options
from studies.few_labels import (
    MEASURES,
    PRETRAIN,
    Job,
    add_few_label_options,
    run_jobs,
)
from studies.inputs import load_encoded, load_tokenized, store, store_vectors
from textmetric import command, splits
from textmetric.command import INTERACTIVE
from textmetric.encoders import token_vectors
from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.grid import Family
from textmetric.measures import mean_interval
from textmetric.params import Model, Train, read
from textmetric.report.formats import plain, table, with_interval
from textmetric.report.names import FAMILIES
from textmetric.report.original import corpus_title
from textmetric.sampling.batches import steps_per_epoch
from textmetric.text import TokenizedCorpus
from textmetric.types import Floats

BUDGETS = [2, 4, 8, 16, 64, 256]
TFIDF = "TF-IDF"
RESAMPLES = 2000


class Start(NamedTuple):
    """Where the encoder starts.

    Attributes:
        vectors: folder of given vectors, see :class:`.Job`; None for none.
        corpus: tokenised for them.
        model: the encoder.
        pretrains: whether text without labels can change it.
    """

    vectors: Path | None
    corpus: TokenizedCorpus
    model: Model
    pretrains: bool = True


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the table and the picture."""
    params = read(arguments.params)
    if arguments.limit is not None:
        params = params.model_copy(
            update={"data": params.data.model_copy(update={"limit": arguments.limit})}
        )
    _check(arguments)
    spec = options.mapping_or_name(arguments.corpus)
    bag = Model(dim=arguments.dim)
    corpus, summary = load_tokenized(spec, params.data, progress=INTERACTIVE)
    starts = {"random": Start(None, corpus, bag)}
    if arguments.vectors is not None:
        found = token_vectors(arguments.vectors, dim=arguments.dim, progress=INTERACTIVE)
        folder = store_vectors(found, arguments.results / "vectors")
        given, _ = load_tokenized(spec, params.data, given=found.vocabulary, progress=INTERACTIVE)
        starts["given vectors"] = Start(folder, given, bag)
    if arguments.frozen is not None:
        encoded, folder = load_encoded(
            spec, params.data, arguments.frozen, arguments.results / "encoded",
            progress=INTERACTIVE,
        )  # fmt: skip
        model = Model(encoder="frozen", layer="linear", dim=arguments.dim, vectors=arguments.frozen)
        starts["frozen"] = Start(folder, encoded, model, pretrains=False)
    everything = int(corpus.train_counts.max())
    budgets = [*(k for k in sorted(arguments.budgets) if k < everything), everything]
    jobs, places = _jobs(arguments, params.train, params, starts, budgets)
    values = _chosen(pd.DataFrame(places), run_jobs(jobs, arguments.results / "budget"))
    title = (
        f"{corpus_title(summary)}, {len(corpus.train):,} train texts and {len(corpus.test):,} "
        f"test texts of {len(corpus.label_names)} classes"
    )
    with replacing_file(arguments.out / "label-budget.md") as path:
        path.write_text(_page(values, budgets, title, arguments), encoding="utf-8")
    _draw(arguments.out / "label-budget.png", values)


def _check(arguments: argparse.Namespace) -> None:
    for name, values, low in (("budgets", arguments.budgets, 2), ("draws", arguments.draws, 0)):
        if min(values) < low or len(set(values)) < len(values):
            raise UserError(f"--{name} is {values}: give different whole numbers from {low}")
    if min(arguments.lr) <= 0:
        raise UserError(f"--lr is {arguments.lr}, expected rates above 0")
    if arguments.steps < 1:
        raise UserError(f"--steps is {arguments.steps}, expected at least 1")


def _jobs(
    arguments: argparse.Namespace,
    settings: Train,
    params: Any,
    starts: dict[str, Start],
    budgets: Sequence[int],
) -> tuple[list[Job], list[dict[str, Any]]]:
    """The measurements, and for each the line, the budget, the draw and the learning rate."""
    jobs, places = list[Job](), list[dict[str, Any]]()
    for draw in arguments.draws:
        for budget in budgets:
            for start, (vectors, corpus, model, pretrains) in starts.items():
                for pretrain in [None, PRETRAIN] if arguments.unlabelled and pretrains else [None]:
                    few = splits.few_rows(corpus, budget, draw, unlabel=pretrain is not None)
                    folder = store(few, arguments.results / "corpora")
                    steps = steps_per_epoch(len(few.train), settings.batch_size)
                    epochs = max(settings.epochs, math.ceil(arguments.steps / steps))
                    name = start if pretrain is None else f"{start}, pre-trained"
                    about = {"budget": budget, "draw": draw, "start": name}
                    for family in Family:
                        for lr in arguments.lr:
                            jobs.append(
                                Job(
                                    folder, family, params.objective(family), model,
                                    settings.model_copy(update={"lr": lr, "epochs": epochs}),
                                    vectors, pretrain, draw,
                                )
                            )  # fmt: skip
                            places.append(about | {"family": FAMILIES[family], "lr": lr})
                    if pretrain is None:
                        jobs.append(Job(folder, None, {}, model, settings, vectors, None, draw))
                        places.append(about | {"family": "untrained", "lr": 0.0})
                    if start == "random" and pretrain is None:
                        jobs.append(
                            Job(folder, None, {}, model, settings, None, None, draw, tfidf=True)
                        )
                        places.append(about | {"start": TFIDF, "family": TFIDF, "lr": 0.0})
    return jobs, places


def _chosen(places: pd.DataFrame, results: Sequence[dict[str, float]]) -> pd.DataFrame:
    """A row a line, budget, draw and measure, with the learning rate that validation prefers.

    Returns:
        The columns start, family, budget, draw, measure, value.
    """
    measured = pd.concat([places, pd.DataFrame(results)], axis=1)
    rows = []
    for measure in MEASURES:
        by = f"validation_{measure}"
        for (start, family, budget), cell in measured.groupby(
            ["start", "family", "budget"], sort=False
        ):
            # baselines have no learning rate, and nothing on validation
            best = cell["lr"].iloc[0] if cell[by].isna().any() else _best_rate(cell, by)
            chosen = cell[cell["lr"] == best]
            rows.append(
                pd.DataFrame(
                    {
                        "start": start,
                        "family": family,
                        "budget": budget,
                        "draw": chosen["draw"],
                        "measure": measure,
                        "value": chosen[measure],
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def _best_rate(cell: pd.DataFrame, by: str) -> float:
    means = {lr: cell.loc[cell["lr"] == lr, by].mean() for lr in map(float, cell["lr"].unique())}
    return max(means, key=means.__getitem__)


def crossing(budgets: Sequence[int], differences: Floats) -> float:
    """Where a difference changes its sign for the first time, in rows a class.

    Between two budgets it is interpolated over the logarithm of the rows.

    Args:
        budgets: (k,) rising.
        differences: (k,) the mean difference at each.

    Returns:
        In [first, last budget]; NaN if the sign never changes.
    """
    for place in range(1, len(budgets)):
        before, after = differences[place - 1], differences[place]
        if before * after < 0:
            low, high = np.log2(budgets[place - 1]), np.log2(budgets[place])
            return float(2 ** (low + (high - low) * before / (before - after)))
    return math.nan


def crossing_interval(
    budgets: Sequence[int], differences: Floats, seed: int = 0
) -> tuple[float, float, float]:
    """The crossing, and the 95 % percentile bootstrap interval over the draws.

    Args:
        budgets: (k,) rising.
        differences: (draws, k), one row a draw; the draws are resampled as a whole.
        seed: of the resampling.

    Returns:
        The crossing of the means, NaN if there is none; low; high, which is infinite where more
        than 2.5 % of the resamples have no crossing.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(differences), size=(RESAMPLES, len(differences)))
    found = np.array([crossing(budgets, differences[few].mean(axis=0)) for few in rows])
    low, high = np.quantile(
        np.where(np.isnan(found), np.inf, found), [0.025, 0.975], method="inverted_cdf"
    )
    return crossing(budgets, differences.mean(axis=0)), float(low), float(high)


def _page(
    values: pd.DataFrame, budgets: Sequence[int], title: str, arguments: argparse.Namespace
) -> str:
    lines = [*dict.fromkeys(zip(values["start"], values["family"], strict=True))]
    text = [
        "# How many labels does it take?",
        "",
        f"Accuracy and MAP@R on the test part by labelled rows a class. {title}. Means over "
        f"{len(arguments.draws)} draws of the rows, ± half of the 95 % interval. "
        f"{arguments.dim}-wide embeddings, balanced batches, the learning rate of each cell by the "
        "same measure on the validation part. The accuracy of classification is that of its head, "
        "that of metric learning and of the untrained encoder that of the nearest class centroid. "
        "*Pre-trained*: on all train texts without their labels, by `inverse_cloze`. Written by "
        "`python -m studies.label_budget`.",
        "",
        "![Accuracy and MAP@R by rows a class](label-budget.png)",
    ]
    for measure, name in MEASURES.items():
        text += ["", f"## {name[0].upper()}{name[1:]}", ""]
        head = ["encoder starts", "trained by", *(_budget(k, budgets) for k in budgets)]
        rows = []
        for start, family in lines:
            mine = values[
                (values["start"] == start)
                & (values["family"] == family)
                & (values["measure"] == measure)
            ]
            cells = [
                with_interval(mean_interval(mine.loc[mine["budget"] == k, "value"]))
                for k in budgets
            ]
            rows.append([plain(start), plain(family), *cells])
        text += [table(head, rows), "", "Where the means cross, in rows a class:", ""]
        text += _crossings(values, budgets, measure)
    return "\n".join(text) + "\n"


def _budget(rows: int, budgets: Sequence[int]) -> str:
    return f"all ({rows})" if rows == budgets[-1] else str(rows)


def _crossings(values: pd.DataFrame, budgets: Sequence[int], measure: str) -> list[str]:
    """A sentence for each pair of lines that is worth comparing."""

    def of(start: str, family: str) -> Floats:
        mine = values[
            (values["start"] == start)
            & (values["family"] == family)
            & (values["measure"] == measure)
        ]
        wide = mine.pivot_table(index="draw", columns="budget", values="value")
        return wide[list(budgets)].to_numpy()

    classification, metric = (FAMILIES[family] for family in Family)
    said = []
    for start in [start for start in dict.fromkeys(values["start"]) if start != TFIDF]:
        pairs = [((start, metric), (start, classification))]
        pairs += [((start, family), (TFIDF, TFIDF)) for family in (classification, metric)]
        for one, other in pairs:
            names = [
                TFIDF if line[0] == TFIDF else f"{line[1]} ({line[0]})" for line in (one, other)
            ]
            said.append(f"- {_crossing_words(names, budgets, of(*one) - of(*other))}")
    return said


def _crossing_words(names: Sequence[str], budgets: Sequence[int], differences: Floats) -> str:
    point, low, high = crossing_interval(budgets, differences)
    ahead = names[0] if differences.mean(axis=0)[0] > 0 else names[1]
    behind = names[1] if ahead == names[0] else names[0]
    if math.isnan(point):
        return (
            f"{ahead} has a higher mean than {behind} at every budget: no crossing up to "
            f"{budgets[-1]}."
        )
    upper = f"{high:.0f}" if math.isfinite(high) else f"more than {budgets[-1]}"
    return (
        f"The mean of {behind} passes that of {ahead} at about {point:.0f} rows a class "
        f"(95 % interval {low:.0f} to {upper})."
    )


def _draw(path: Path, values: pd.DataFrame) -> None:
    rows = []
    for (start, family, budget, measure), cell in values.groupby(
        ["start", "family", "budget", "measure"], sort=False
    ):
        middle, low, high = mean_interval(cell["value"])
        line = TFIDF if start == TFIDF else f"{family}, {start}"
        rows.append(
            {"line": line, "group": start, "kind": family, "measure": measure, "rows": budget}
            | {"mean": middle, "low": low, "high": high}
        )
    charts.lines(path, pd.DataFrame(rows), MEASURES, x="rows", label="labelled rows a class")


def _parser() -> argparse.ArgumentParser:
    made = command.parser("studies.label_budget", __doc__)
    made.add_argument("--corpus", default="docstrings", metavar="SPEC", help="(%(default)s)")
    made.add_argument("--limit", type=int, help="at most this many train rows (data.limit)")
    made.add_argument("--budgets", nargs="+", type=int, default=BUDGETS, help="rows a class")
    made.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="(0 to 4)")
    made.add_argument("--lr", nargs="+", type=float, default=[0.01, 0.03, 0.1], help="(.01 .03 .1)")
    made.add_argument("--dim", type=int, default=256, help="width of the embedding (%(default)s)")
    made.add_argument(
        "--steps",
        type=int,
        default=100,
        help="train.epochs, but as many that these are (%(default)s)",
    )
    made.add_argument("--frozen", metavar="NAME", help="a sentence encoder that stays as it is")
    add_few_label_options(made, "where the table and picture go")
    return made


if __name__ == "__main__":
    command.run(main, _parser(), after_interrupt=options.AFTER_INTERRUPT)
