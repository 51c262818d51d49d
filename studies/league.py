"""Train every objective with an equal budget, and rank them.

All are trained on one corpus with the same encoder, number of steps, batches and optimiser, once
on the whole train part and once with one label cut to a tenth of its rows. Objectives have their
own default parameters. With several learning rates, each objective gets the one with the best mean
MAP@R on the validation part, for the label that was cut over its own rows; everything that is shown
is measured on the test part.

Next to them are TF-IDF and the untrained encoder, measured in the same way.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes league.md and league.png.
On the docstrings most trainings take 2 to 5 seconds, all together 5 to 10 minutes on 2 cores.

Examples:
    python -m studies.league
    python -m studies.league --objectives cross_entropy triplet '{name: triplet, miner: hard}'
    python -m studies.league --corpus ag_news --seeds 0 1 2 3 4 --lr 0.03 0.1 0.3 --out ag_news
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from studies import charts, options
from studies.baselines import run_baselines
from studies.inputs import load_tokenized, store
from studies.trials import Result, Trial, run_trials
from textmetric import command, splits
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.grid import Baseline
from textmetric.measures import mean_interval
from textmetric.params import Params
from textmetric.report.formats import MISSING, plain, table, with_interval
from textmetric.report.names import BASELINES, FAMILIES
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus

KEEP = 0.1
# measure → (the trainings it is of, its column in the table)
COLUMNS = {
    "map_at_r": ("full", "MAP@R"),
    "knn_accuracy": ("full", "k-NN accuracy"),
    "cohesion": ("full", "cohesion"),
    "between_class_cosine": ("full", "between-class cosine"),
    "scarce_map_at_r": ("scarce", "MAP@R of the scarce class"),
    "seconds": ("full", "seconds"),
    "peak_mib": ("full", "peak memory (MiB)"),
}
CHOOSE_BY = {"full": "validation_map_at_r", "scarce": "validation_scarce_map_at_r"}
"""The trainings → the measure on validation that their learning rate is chosen by."""


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the table and the picture."""
    params = options.read_params(arguments)
    chosen = options.chosen_objectives(arguments.objectives)
    rates = arguments.lr or [params.train.lr]
    if min(rates) <= 0:
        raise UserError(f"--lr is {rates}, expected rates above 0")
    spec = options.mapping_or_name(arguments.corpus)
    corpus, summary = load_tokenized(spec, params.data, progress=INTERACTIVE)
    scarce = splits.cut_labels(corpus, [arguments.scarce], KEEP, params.data.seed)
    folders = {
        name: store(each, arguments.results / "corpora")
        for name, each in (("full", corpus), ("scarce", scarce))
    }
    coordinates = [
        {"split": split, "objective": options.title(objective), "family": family, "lr": lr}
        | {"seed": seed}
        for family, objective in chosen
        for split in folders
        for lr in rates
        for seed in arguments.seeds
    ]
    objectives = {options.title(objective): objective for _, objective in chosen}
    trials = [
        Trial(
            corpus=folders[place["split"]],
            family=place["family"],
            objective=objectives[place["objective"]],
            sampler=arguments.sampler,
            model=params.model,
            settings=params.train.model_copy(update={"lr": place["lr"]}),
            seed=place["seed"],
            neighbours=params.evaluate.neighbours,
        )
        for place in coordinates
    ]
    # TF-IDF draws nothing, so one seed stands for all.
    untrained = [
        (baseline, split, seed)
        for baseline in Baseline
        for split in folders
        for seed in arguments.seeds[: 1 if baseline is Baseline.TFIDF else None]
    ]
    of_baselines = run_baselines(
        [
            (folders[split], baseline, seed, params.model, params.evaluate.neighbours)
            for baseline, split, seed in untrained
        ],
        arguments.results / "baselines",
        progress=INTERACTIVE,
    )
    baselines: list[dict[str, Any]] = [
        {"split": split, "objective": BASELINES[baseline], "family": baseline}
        | {"lr": params.train.lr, "seed": seed}
        for baseline, split, seed in untrained
    ]
    results = run_trials(trials, arguments.results / "trials", label="league", progress=INTERACTIVE)
    ranked, failures = rank([*coordinates, *baselines], [*results, *of_baselines])
    with replacing_file(arguments.out / "league.md") as path:
        path.write_text(
            page(ranked, failures, about(arguments, params, corpus, scarce, summary)),
            encoding="utf-8",
        )
    panels = {measure: title for measure, (_, title) in COLUMNS.items()}
    charts.ranking(arguments.out / "league.png", ranked, panels, by_factors=["seconds"])
    print(f"{arguments.out / 'league.md'}, {arguments.out / 'league.png'}")


def rank(
    coordinates: Sequence[dict[str, Any]], results: Sequence[Result]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Means and intervals over the seeds, the best objective first.

    Args:
        coordinates: split (full or scarce), objective, family, lr and seed of every training.
        results: of the trainings, in the same order.

    Returns:
        A table with the columns objective, family, measure, lr, mean, low, high, sorted by the
        mean MAP@R; and objective → the sentence that its first failed training ended with. A
        measure that one seed lacks is NaN.
    """
    rows = pd.DataFrame(
        [
            place | {"error": result.error}
            | {name: result.measures.get(name, math.nan)
               for name in [*COLUMNS, *CHOOSE_BY.values()]}
            for place, result in zip(coordinates, results, strict=True)
        ]
    )  # fmt: skip
    failures: dict[str, str] = {}
    for row in rows[rows["error"].notna()].to_dict("records"):
        failures.setdefault(
            str(row["objective"]), f"lr {row['lr']:g}, seed {row['seed']}: {row['error']}"
        )
    ranked = []
    for (name, family), of_objective in rows.groupby(["objective", "family"], sort=False):
        for split in ("full", "scarce"):
            chosen = _best_rate(of_objective[of_objective["split"] == split], CHOOSE_BY[split])
            ranked += [
                {"objective": name, "family": family, "measure": measure}
                | {"lr": chosen["lr"].iloc[0]}
                | dict(zip(("mean", "low", "high"), mean_interval(chosen[measure]), strict=True))
                for measure, (of_split, _) in COLUMNS.items()
                if of_split == split
            ]
    table_ = pd.DataFrame(ranked)
    headline = table_[table_["measure"] == "map_at_r"].set_index("objective")["mean"]
    best_first = headline.sort_values(ascending=False, kind="stable", na_position="last").index
    order = table_["objective"].map({name: place for place, name in enumerate(best_first)})
    return table_.iloc[order.argsort(kind="stable")].reset_index(drop=True), failures


def _best_rate(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The rows of the learning rate with the best mean of ``measure``, all seeds counted."""
    by_rate = dict(list(rows.groupby("lr")))
    if len(by_rate) == 1:
        return rows

    def on_validation(lr: Any) -> float:
        mean, _, _ = mean_interval(by_rate[lr][measure])
        return -math.inf if math.isnan(mean) else mean

    return by_rate[max(by_rate, key=on_validation)]


def page(ranked: pd.DataFrame, failures: dict[str, str], about: str) -> str:
    """The table as a page of Markdown.

    Args:
        ranked: see :func:`rank`.
        failures: objective → how its training ended.
        about: what was trained on what.
    """
    several_rates = len(set(ranked["lr"])) > 1
    lines = []
    for name in dict.fromkeys(ranked["objective"]):
        found = ranked[ranked["objective"] == name].set_index("measure")
        family = found["family"].iloc[0]
        cells = [plain(name), FAMILIES.get(family, "baseline")]
        rate = f"{found['lr']['map_at_r']:g}" if family in FAMILIES else MISSING
        cells += [rate] * several_rates
        for measure in COLUMNS:
            interval = [float(found[end][measure]) for end in ("mean", "low", "high")]
            costs = measure in ("seconds", "peak_mib")
            cells.append(_cost(interval) if costs else with_interval(interval))
        lines.append(cells)
    head = ["objective", "family", *["learning rate"] * several_rates]
    head += [title for _, title in COLUMNS.values()]
    text = f"# League of the objectives\n\n{about}\n\n{table(head, lines)}\n\n"
    text += "![the objectives by MAP@R, and their other measures](league.png)\n"
    if failures:
        text += "\nTrainings that ended early, so that the objective has no value:\n\n"
        text += "".join(f"- {plain(name)}, {plain(error)}\n" for name, error in failures.items())
    return text


def _cost(interval: Sequence[float]) -> str:
    return "–" if math.isnan(interval[0]) else f"{interval[0]:.3g}"


def about(
    arguments: argparse.Namespace,
    params: Params,
    corpus: TokenizedCorpus,
    scarce: TokenizedCorpus,
    summary: dict[str, Any],
) -> str:
    """What was trained on what, in a few sentences."""
    name = corpus_title(summary)
    cut = plain(corpus.label_names[arguments.scarce])
    rows = scarce.train_counts[arguments.scarce]
    train = params.train
    given = [f"{lr:g}" for lr in arguments.lr or [train.lr]]
    rates = f"learning rate {given[0]}"
    if len(given) > 1:
        rates = f"the learning rate of {', '.join(given)} with the best MAP@R on validation"
    return (
        f"Every objective with an equal budget on {plain(name)}: {len(corpus.label_names)} "
        f"classes, {len(corpus.train):,} train and {len(corpus.test):,} test rows, "
        f"{params.model.dim} dimensions, {train.epochs} epochs of {train.optimizer} with {rates}, "
        f"batches of {train.batch_size} {arguments.sampler} (objectives that are defined by their "
        "batches draw their own, as many and as large), each objective with its default "
        "parameters unless others are given with its name. One learning rate suits some losses "
        "better than others; `--lr` with several gives each the one that is best on validation. "
        "`python -m studies.tuned` tunes all with equal budgets.\n\n"
        f"Mean ± half of the 95 % interval over {len(arguments.seeds)} seeds, on the "
        f"test part, sorted by MAP@R; k is {params.evaluate.neighbours}. For the scarce class the "
        f"label {cut} was cut to {rows:,} train rows in trainings of their own. Seconds are those "
        "of the batches of one seed with other trainings running at the same time; memory is "
        "that of a whole process. TF-IDF and the untrained encoder are baselines, which learn no "
        "embedding: an objective below them was not worth its training for that measure. The "
        "seconds of TF-IDF are those of its vectors and of logistic regression on them. "
        "`python -m studies.league` writes this page."
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = options.parser("studies.league", __doc__, objectives="all there are", out="docs")
    made.add_argument(
        "--lr", nargs="+", type=float, help="learning rates to choose from (train.lr)"
    )
    made.add_argument(
        "--scarce",
        type=int,
        default=0,
        metavar="LABEL",
        help="id of the label to cut (%(default)s)",
    )
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
