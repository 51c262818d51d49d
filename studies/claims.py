r"""Do the ten conclusions of the original study hold?

Reads a finished run of the pipeline (params.yaml and data/ in a folder), whose target is AG_NEWS
and whose source is DBPedia Classes, or samples of them, and judges what it can. Two conclusions
need more trainings, which are done here: other numbers of epochs, and normalised softmax.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes claims.md and claims.png.

Examples:
    python -m studies.claims
    python -m studies.claims ../news
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studies import answers, charts, options
from studies.inputs import read_run, store
from studies.trials import Result, Trial, run_trials
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_file
from textmetric.grid import ROLES, Arm, Family, Layout, Role, Split
from textmetric.measures import Outcome, mean_interval, simultaneous_differences
from textmetric.params import Params, read
from textmetric.report import original
from textmetric.report.findings import Finding, find_all
from textmetric.report.formats import difference, plain, table, words
from textmetric.report.names import BY_KEY, FAMILIES
from textmetric.report.original import CLAIMS, corpus_title
from textmetric.report.study import Study
from textmetric.text import TokenizedCorpus
from textmetric.types import Float64

EPOCHS = (1, 2, 5, 10, 20, 40)
NORMALISED = {"name": "norm_softmax"}
WHOLE = ("R-1", "R-2", "C-1", "C-2", "7-1", "7-2")
"""The tables about whole corpora, which are not balanced to the row but lack no label."""
IMBALANCED = ("8-1", "8-2")
SENTENCES = {
    1: "Training takes longer with metric learning.",
    2: "Balanced AG_NEWS: higher cohesion with metric learning.",
    3: "DBPedia Classes, many labels: higher cohesion with classification.",
    4: "And the same with more epochs.",
    5: "A scarce label on AG_NEWS: better separated and more cohesive with metric learning.",
    6: "Rare labels of DBPedia Classes: classification pulls the texts of a label together.",
    7: "And metric learning keeps different labels apart.",
    8: "Fine-tuning on AG_NEWS starts better from metric learning.",
    9: "Normalised classification retrieves better than metric learning (Zhai & Wu 2018).",
    10: "Similar overall, except for imbalanced data.",
}
SAID = {Outcome.FIRST: "yes", Outcome.SECOND: "the opposite"}


@dataclass(frozen=True)
class Compared:
    """One comparison under a claim.

    Attributes:
        what: what is compared, in words.
        found: the difference with its interval, in words.
        outcome: ``FIRST`` if it is as the claim says, ``SECOND`` if it is the opposite.
    """

    what: str
    found: str
    outcome: Outcome


@dataclass(frozen=True)
class Judged:
    """A claim and what speaks for or against it.

    Attributes:
        number: of the claim.
        by: what was measured, in words.
        comparisons: all of them.
        note: what else must be said.
    """

    number: int
    by: str
    comparisons: Sequence[Compared] = field(default_factory=list)
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether it holds, counted over the comparisons.

        >>> yes, no = Compared("", "", Outcome.FIRST), Compared("", "", Outcome.SECOND)
        >>> Judged(1, "", [yes, yes]).verdict, Judged(1, "", [yes, no, no]).verdict
        ('**yes**', 'yes in 1 of 3, the opposite in 2')
        """
        outcomes = [one.outcome for one in self.comparisons]
        if not outcomes:
            return "not judged"
        counts = {outcome: outcomes.count(outcome) for outcome in SAID}
        for outcome, said in SAID.items():
            if counts[outcome] == len(outcomes):
                return f"**{'no, ' if outcome is Outcome.SECOND else ''}{said}**"
        if not any(counts.values()):
            return "no difference at 95 %"
        parts = [
            f"{said} in {counts[outcome]}" for outcome, said in SAID.items() if counts[outcome]
        ]
        parts[0] += f" of {len(outcomes)}"
        return ", ".join(parts)


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page and the picture."""
    folder: Path = arguments.run
    study, params, layout = read_run(folder), read(folder / "params.yaml"), Layout(folder)
    _check(study, params)
    findings = find_all(study)
    corpora = {role: _corpus(layout, study, role, arguments.results) for role in ROLES}
    sweep = epochs_sweep(params, corpora["source"], arguments)
    judged = [
        longer(study, layout),
        *(from_report(study, findings, number) for number in (2, 3)),
        with_epochs(sweep, params.train.epochs),
        every_label(study),
        *(from_report(study, findings, number) for number in (6, 7, 8)),
        normalised(study, params, corpora, arguments),
        overall(findings),
    ]
    with replacing_file(arguments.out / "claims.md") as path:
        path.write_text(page(judged, study), encoding="utf-8")
    charts.lines(
        arguments.out / "claims.png",
        sweep_intervals(sweep),
        {sampler: f"mean cohesion, {sampler} batches" for sampler in params.samplers},
        x="epochs",
        label="epochs",
        one_scale=True,
    )
    print(f"{arguments.out / 'claims.md'}, {arguments.out / 'claims.png'}")


def _check(study: Study, params: Params) -> None:
    wanted: dict[Role, str] = {
        "target": original.AG_NEWS,
        "source": original.DBPEDIA_CLASSES,
    }
    for role, corpus in wanted.items():
        if original.corpus_of(study.corpora[role]) != corpus:
            raise UserError(
                f"the {role} of the run is {corpus_title(study.corpora[role])}, expected {corpus} "
                "or a sample of it (sample_of, docs/corpora.md): the claims are about these corpora"
            )
    if params.model.vectors or params.model.encoder != "bag":
        raise UserError(
            "the run's encoder starts from given vectors: give a run whose encoder starts as the "
            "original's did, at random"
        )


def _corpus(layout: Layout, study: Study, role: Role, results: Path) -> Path:
    """The folder of the whole corpus of a role, for trials."""
    name = study.full(role)
    if name is None:
        raise UserError(f"the run has no split of the whole {role}: run it with one")
    corpus = TokenizedCorpus.load(layout.split(Split(role, name)))
    return store(corpus, results / "corpora")


# ---------------------------------------------------------------- what the run itself says


def from_report(study: Study, findings: Sequence[Finding], number: int) -> Judged:
    """A claim that the tables of the report judge; see :data:`.original.CLAIMS`."""
    by_table = {finding.table: finding for finding in findings}
    compared, said = [], []
    for claim in CLAIMS:
        if claim.number != number or claim.table not in by_table:
            continue
        verdicts = [
            verdict
            for key in claim.measures
            for verdict in by_table[claim.table].verdicts
            if verdict.measure.key == key and verdict.comparison.sides[0] == "metric"
        ]
        said += [f"{verdict.measure.name} (table {claim.table})" for verdict in verdicts]
        compared += [
            Compared(
                f"{claim.table}: {verdict.measure.title}, {verdict.contrast.title}",
                difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high])
                + f", {words(verdict.judgement)}",
                _as_claimed(verdict.outcome, claim.better),
            )
            for verdict in verdicts
        ]
    note = "Differences are metric − classification, corrected as in the report."
    return Judged(number, ", ".join(dict.fromkeys(said)), compared, note)


def _as_claimed(outcome: Outcome, better: Outcome) -> Outcome:
    if outcome is better:
        return Outcome.FIRST
    return Outcome.SECOND if outcome in SAID else outcome


def every_label(study: Study) -> Judged:
    """Claim 5, which is about each label: the report judges the mean over the labels alone."""
    (claim,) = (claim for claim in CLAIMS if claim.number == 5)
    pairs, names, measures = [], [], [BY_KEY[key] for key in claim.measures]
    for split in study.scarce("target"):
        label = " ".join(study.about(split).label_names[each] for each in study.about(split).scarce)
        for sampler in study.samplers:
            for measure in measures:
                metric, classification = (
                    study.per_seed([split], Arm(family, sampler), measure.key)
                    for family in (Family.METRIC, Family.CLASSIFICATION)
                )
                pairs.append((metric, classification))
                names.append(f"{label}, {sampler} batches: {measure.title}")
    compared = [
        Compared(
            plain(name),
            difference([one.mean, one.low, one.high]),
            _as_claimed(one.outcome(large_is_good=True), claim.better),
        )
        for name, one in zip(names, simultaneous_differences(pairs), strict=True)
    ]
    return Judged(
        5,
        f"{' and '.join(measure.name for measure in measures)} of each label that is cut",
        compared,
        "Differences are metric − classification, paired by seed, corrected for their number. "
        "Means over the labels, and retrieval, are in table 8-1 of the run's report.",
    )


def longer(study: Study, layout: Layout) -> Judged:
    """Claim 1: seconds of the batches of a seed, with the same number of steps."""
    pairs, names = [], []
    for role in ROLES:
        name = study.full(role)
        for sampler in study.samplers:
            if name is None:
                continue
            split = Split(role, name)
            both = [
                np.log(_seconds(layout, Arm(family, sampler), split))
                for family in (Family.METRIC, Family.CLASSIFICATION)
            ]
            pairs.append((both[0], both[1]))
            names.append(f"{corpus_title(study.corpora[role])}, {sampler} batches")
    found = simultaneous_differences(pairs)
    compared = [
        Compared(
            plain(name),
            f"{math.exp(one.mean):.2f} times as long "
            f"[{math.exp(one.low):.2f}, {math.exp(one.high):.2f}]",
            one.outcome(large_is_good=True),
        )
        for name, one in zip(names, found, strict=True)
    ]
    return Judged(
        1,
        "seconds of the batches of a training, the numbers of steps being equal",
        compared,
        "Metric learning against classification, ratios of seconds, paired by seed, from "
        "reports/costs.md of the run. Other trainings ran at the same time, on both sides.",
    )


def _seconds(layout: Layout, arm: Arm, split: Split) -> Float64:
    seeds = read_json(layout.cost(arm, split))["seeds"]
    return np.array([sum(seed["epoch_seconds"]) for seed in seeds])


def overall(findings: Sequence[Finding]) -> Judged:
    """Claim 10: the primary comparisons; similar is no difference, an exception is one."""
    compared = []
    for finding in findings:
        verdict = finding.verdict
        if verdict is None or finding.table not in (*WHOLE, *IMBALANCED):
            continue
        differs = verdict.outcome in SAID
        unclear = verdict.outcome in (Outcome.DEPENDS, Outcome.UNKNOWN)
        claimed = differs == (finding.table in IMBALANCED)
        as_claimed = Outcome.FIRST if claimed else Outcome.SECOND
        compared.append(
            Compared(
                f"{finding.table}: {finding.title}, {verdict.measure.name}",
                difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high])
                + f", {words(verdict.judgement)}",
                verdict.outcome if unclear else as_claimed,
            )
        )
    return Judged(
        10,
        "the primary comparison of each table: whole corpora should show no difference, scarce and "
        "rare labels one",
        compared,
        "No difference at 95 % does not show that two sides are equal: see the intervals.",
    )


# ---------------------------------------------------------------- what needs more trainings


def epochs_sweep(params: Params, corpus: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """The mean cohesion of the labels of the source after other numbers of epochs.

    Returns:
        The columns epochs, sampler, family, seed, cohesion.
    """
    rows = [
        {"epochs": epochs, "sampler": sampler, "family": family, "seed": seed}
        for epochs in arguments.epochs
        for sampler in params.samplers
        for family in Family
        for seed in params.seeds
    ]
    trials = [
        _trial(
            params, corpus, row["family"], params.objective(row["family"]), row["sampler"],
            row["seed"], epochs=row["epochs"], cohesion=True,
        )
        for row in rows
    ]  # fmt: skip
    results = run_trials(trials, arguments.results / "claims", label="epochs", progress=INTERACTIVE)
    return pd.DataFrame(rows).assign(cohesion=[_mean_cohesion(result) for result in results])


def _trial(
    params: Params,
    corpus: Path,
    family: Family,
    objective: Mapping[str, Any],
    sampler: str,
    seed: int,
    *,
    epochs: int | None = None,
    cohesion: bool = False,
) -> Trial:
    return Trial(
        corpus=corpus,
        family=family,
        objective=objective,
        sampler=sampler,
        model=params.model,
        settings=params.train.model_copy(update={"epochs": epochs or params.train.epochs}),
        seed=seed,
        neighbours=params.evaluate.neighbours,
        cohesion=cohesion,
    )


def _mean_cohesion(result: Result) -> float:
    by_label = [value for key, value in result.measures.items() if key.startswith("cohesion_")]
    known = [value for value in by_label if not math.isnan(value)]  # NaN: a label of one test text
    return float(np.mean(known)) if known else math.nan


def with_epochs(sweep: pd.DataFrame, trained: int) -> Judged:
    """Claim 4: the difference of cohesion after more epochs than the study has."""
    more = [(epochs, sampler) for epochs, sampler in _series(sweep) if epochs > trained]
    found = simultaneous_differences([_both(sweep, *each) for each in more])
    compared = [
        Compared(
            f"{epochs} epochs, {sampler} batches",
            difference([one.mean, one.low, one.high]),
            _as_claimed(one.outcome(large_is_good=True), Outcome.SECOND),
        )
        for (epochs, sampler), one in zip(more, found, strict=True)
    ]
    return Judged(
        4,
        f"mean cohesion of the labels of DBPedia Classes after more than {trained} epochs",
        compared,
        "Differences are metric − classification, paired by seed, corrected for their number. The "
        "picture has every number of epochs.",
    )


def _series(sweep: pd.DataFrame) -> Iterator[tuple[int, str]]:
    known = sweep[["epochs", "sampler"]].drop_duplicates()
    yield from zip(known["epochs"].tolist(), known["sampler"].tolist(), strict=True)


def _both(sweep: pd.DataFrame, epochs: int, sampler: str) -> tuple[Float64, Float64]:
    """The cohesions of metric learning and of classification, by seed."""
    rows = sweep[(sweep["epochs"] == epochs) & (sweep["sampler"] == sampler)]
    by_seed = rows.set_index("seed").sort_index()
    first, second = (
        by_seed.loc[by_seed["family"] == family, "cohesion"].to_numpy()
        for family in (Family.METRIC, Family.CLASSIFICATION)
    )
    return first, second


def sweep_intervals(sweep: pd.DataFrame) -> pd.DataFrame:
    """What the picture shows: line, measure (the sampler), epochs, mean, low, high."""
    rows = []
    for epochs, sampler in _series(sweep):
        metric, classification = _both(sweep, epochs, sampler)
        for family, values in ((Family.CLASSIFICATION, classification), (Family.METRIC, metric)):
            rows.append([FAMILIES[family], sampler, epochs, *mean_interval(values)])
    return pd.DataFrame(rows, columns=["line", "measure", "epochs", "mean", "low", "high"])


def normalised(
    study: Study,
    params: Params,
    corpora: Mapping[Role, Path],
    arguments: argparse.Namespace,
) -> Judged:
    """Claim 9: normalised softmax against the run's metric learning, by retrieval."""
    cells = [
        (role, sampler, name)
        for role in ROLES
        for sampler in params.samplers
        if (name := study.full(role)) is not None
    ]
    trials = [
        _trial(params, corpora[role], Family.CLASSIFICATION, NORMALISED, sampler, seed)
        for role, sampler, _ in cells
        for seed in params.seeds
    ]
    results = iter(
        run_trials(trials, arguments.results / "claims", label="normalised", progress=INTERACTIVE)
    )
    pairs, names = [], []
    for role, sampler, name in cells:
        found = [next(results).measures for _ in params.seeds]
        for key, title in (("map_at_r", "MAP@R"), ("recall_at_1", "Recall@1")):
            first = np.array([measures.get(key, math.nan) for measures in found])
            pairs.append((first, study.per_seed([name], Arm(Family.METRIC, sampler), key)))
            names.append(f"{corpus_title(study.corpora[role])}, {sampler} batches: {title}")
    compared = [
        Compared(
            plain(name),
            difference([one.mean, one.low, one.high]),
            one.outcome(large_is_good=True),
        )
        for name, one in zip(names, simultaneous_differences(pairs), strict=True)
    ]
    metric = plain(str(study.objectives[Family.METRIC]["name"]))
    return Judged(
        9,
        f"MAP@R and Recall@1 of norm\\_softmax against {metric}, on whole corpora",
        compared,
        f"Differences are norm\\_softmax − {metric}, paired by seed, corrected for their number.",
    )


# ---------------------------------------------------------------- the page


def summary(judged: Sequence[Judged]) -> str:
    """The table of all claims in Markdown."""
    rows = [[str(one.number), plain(SENTENCES[one.number]), one.by, one.verdict] for one in judged]
    return table(["", "the original's conclusion", "judged by", "does it hold?"], rows)


def page(judged: Sequence[Judged], study: Study) -> str:
    """The page in Markdown."""
    on = " and ".join(
        f"{summary_['train_rows']:,} train and {summary_['test_rows']:,} test texts of "
        f"{plain(corpus_title(summary_))} ({summary_['classes']} classes)"
        for summary_ in study.corpora.values()
    )
    objectives = {family: plain(str(each["name"])) for family, each in study.objectives.items()}
    parts = [
        "# What was claimed, and what we find",
        "\n".join(
            answers.comment(f"{one.number}. {plain(SENTENCES[one.number])}", one.by, one.verdict)
            for one in judged
        ),
        "The original study ran each setting once and named no sampler. Here are its conclusions, "
        "each judged by every comparison that a run on its corpora allows: metric learning "
        f"(`{objectives[Family.METRIC]}`) against classification "
        f"(`{objectives[Family.CLASSIFICATION]}`), on {on}. Means over {len(study.seeds)} seeds, "
        f"{study.train.epochs} epochs, {' and '.join(study.samplers)} batches; intervals are at "
        "95 % and cover the seeds, not other corpora. `python -m studies.claims` writes this page.",
        summary(judged),
        "*Yes in 2 of 6*: two of six comparisons are as the claim says at 95 %, and those that are "
        "not named show no difference.",
        "![cohesion of the labels of DBPedia Classes by the number of epochs](claims.png)",
    ]
    for one in judged:
        parts += [f"## {one.number}. {plain(SENTENCES[one.number])}", f"{one.verdict}. {one.note}"]
        rows = [[each.what, each.found, _said(each.outcome)] for each in one.comparisons]
        parts.append(table(["compared", "found", "as claimed"], rows))
    return "\n\n".join(parts) + "\n"


def _said(outcome: Outcome) -> str:
    return SAID.get(outcome) or {
        Outcome.NO_DIFFERENCE: "no difference",
        Outcome.DEPENDS: "depends on the sampler",
    }.get(outcome, "–")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.claims", __doc__)
    made.add_argument(
        "run", nargs="?", type=Path, default=Path(), metavar="FOLDER",
        help="of a finished run: params.yaml and data/ (the current one)",
    )  # fmt: skip
    made.add_argument(
        "--epochs", nargs="+", type=int, default=list(EPOCHS),
        help=f"numbers of epochs for claim 4 ({' '.join(map(str, EPOCHS))})",
    )  # fmt: skip
    options.add_files(made, "where the page and the picture go")
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
