r"""What is left of each verdict when the corpus is split again?

The intervals of a run cover its seeds: other weights, other batches, the same train and test rows.
This reads finished runs of the pipeline that differ in ``data.seed`` alone, and so in which rows
are tested on, each in a folder of its own (params.yaml and data/), and writes resampled.md and
resampled.png: for each question of the study the difference between the families, with an interval
over splits by the corrected resampled t test (Nadeau & Bengio 2003) next to that over seeds.

Make the runs with ``dvc exp run -S data.seed=1`` and so on, or in copies of the repository.

Examples:
    python -m studies.resampled . ../split-1 ../split-2 ../split-3 ../split-4
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from studies import answers as asked
from studies import charts
from studies.inputs import read_run
from textmetric import command
from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.grid import ROLES, Layout, Role
from textmetric.measures import Outcome, Paired, simultaneous_differences
from textmetric.params import Params, read
from textmetric.report.blocks import Judgement
from textmetric.report.findings import Finding, find_all
from textmetric.report.formats import cell_text, difference, plain, table
from textmetric.report.original import corpus_title
from textmetric.report.study import Study
from textmetric.report.verdicts import Verdict

FEWEST = 3
SIDES = ("metric", "classification")


class Answer(NamedTuple):
    """A question of the study, by every run.

    Attributes:
        use: what a reader wants embeddings for.
        verdicts: of each run, over its seeds.
        paired: metric − classification over the splits, each the mean over its seeds.
        judgement: which side is better, over the splits.
    """

    use: str
    verdicts: Sequence[Verdict]
    paired: Paired
    judgement: Judgement


def main(arguments: argparse.Namespace) -> None:
    """Read the runs, write the page and the picture."""
    folders: list[Path] = arguments.runs
    if len(set(folders)) < max(FEWEST, len(folders)):
        raise UserError(f"give {FEWEST} different folders or more, a run with another split each")
    params = [read(folder / "params.yaml") for folder in folders]
    _check_params(folders, params)
    studies = [read_run(folder) for folder in folders]
    for role in ROLES:
        _check_parts(folders, role)
    found = answers(studies)
    with replacing_file(arguments.out / "resampled.md") as path:
        path.write_text(page(found, studies), encoding="utf-8")
    charts.differences(
        arguments.out / "resampled.png",
        intervals(found),
        "metric − classification, each in its own measure",
    )
    print(f"{arguments.out / 'resampled.md'}, {arguments.out / 'resampled.png'}")


def _check_params(folders: Sequence[Path], params: Sequence[Params]) -> None:
    """The runs differ in the seed of the split, and in nothing else."""
    seeds = [each.data.seed for each in params]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two runs have the same data.seed ({seeds}): give each another one")
    alike = [
        each.model_copy(update={"data": each.data.model_copy(update={"seed": 0})})
        for each in params
    ]
    for folder, each in zip(folders, alike, strict=True):
        if each != alike[0]:
            raise UserError(
                f"the runs {folders[0]} and {folder} differ in more than data.seed: run both with "
                "the same params.yaml except for that"
            )


def _check_parts(folders: Sequence[Path], role: Role) -> None:
    """The test part is another one in each run."""
    columns = ["text", "split"]
    frames = [pd.read_parquet(Layout(folder).corpus(role), columns=columns) for folder in folders]
    first, *others = (set(frame.loc[frame["split"] == "test", "text"]) for frame in frames)
    for folder, other in zip(folders[1:], others, strict=True):
        if other == first:
            raise UserError(
                f"the {role} of {folders[0]} and {folder} has the same test part, which the corpus "
                "brings: give runs on corpora whose test part is cut (docs/corpora.md)"
            )


def answers(studies: Sequence[Study]) -> list[Answer]:
    """Each question that all runs answer, judged over the splits.

    The differences of all questions are corrected together, as those of a report are.
    """
    by_use = [
        {finding.use: finding for finding in find_all(study) if finding.use and finding.verdict}
        for study in studies
    ]
    uses = [use for use in by_use[0] if all(use in found for found in by_use)]
    verdicts = {use: [_verdict(found[use]) for found in by_use] for use in uses}
    # the most cautious: the larger the test part next to the train part, the wider
    ratio = max(
        float(summary["test_rows"]) / float(summary["train_rows"])
        for study in studies
        for summary in study.corpora.values()
    )
    means = [
        (
            np.array([verdict.comparison.first.mean() for verdict in verdicts[use]]),
            np.array([verdict.comparison.second.mean() for verdict in verdicts[use]]),
        )
        for use in uses
    ]
    found = simultaneous_differences(means, test_to_train=ratio)
    return [
        Answer(
            use,
            verdicts[use],
            paired,
            Judgement(paired.outcome(large_is_good=verdicts[use][0].measure.large_is_good), *SIDES),
        )
        for use, paired in zip(uses, found, strict=True)
    ]


def _verdict(finding: Finding) -> Verdict:
    assert finding.verdict is not None  # looked at before
    return finding.verdict


def intervals(found: Sequence[Answer]) -> pd.DataFrame:
    """What the picture shows: use, over (seeds or splits), mean, low, high."""
    rows = []
    for answer in found:
        for over, paired in (("seeds, one split", answer.verdicts[0].paired),
                             ("splits", answer.paired)):  # fmt: skip
            rows.append([answer.use, over, paired.mean, paired.low, paired.high])
    return pd.DataFrame(rows, columns=["use", "over", "mean", "low", "high"])


def page(found: Sequence[Answer], studies: Sequence[Study]) -> str:
    """The page in Markdown."""
    study = studies[0]
    titles = " and ".join(
        f"{plain(corpus_title(summary))} ({summary['train_rows']:,} train, "
        f"{summary['test_rows']:,} test rows)"
        for summary in study.corpora.values()
    )
    decided = (Outcome.FIRST, Outcome.SECOND)
    lost = [
        answer.use
        for answer in found
        if answer.verdicts[0].outcome in decided and answer.judgement.outcome not in decided
    ]
    turned = [
        answer.use
        for answer in found
        if {answer.verdicts[0].outcome, answer.judgement.outcome} == set(decided)
    ]
    kept = sum(answer.verdicts[0].outcome in decided for answer in found) - len(lost) - len(turned)
    said = (
        f"{kept} hold over splits too, {len(turned)} turn{_named(turned)}, and {len(lost)} have no "
        f"winner any more{_named(lost)}"
    )
    head = ["embeddings for", "over seeds, one split", "over splits", "verdict over splits"]
    head += ["verdicts of the runs"]
    rows = [
        [
            answer.use,
            _interval(answer.verdicts[0].paired),
            _interval(answer.paired),
            cell_text(answer.judgement),
            _counted(answer.verdicts),
        ]
        for answer in found
    ]
    return (
        "\n\n".join(
            [
                "# What is left of each verdict when the corpus is split again?",
                asked.comment(
                    "Do verdicts hold when the corpus is split again?",
                    "metric − classification over resampled splits, for each use of embeddings",
                    f"of those that name a winner, {said}",
                ),
                f"The run on {titles}, {len(studies)} times with another cut into train, "
                f"validation and test, each with {len(study.seeds)} seeds. *Over seeds*: the "
                "interval of the first run's report. It covers other weights and batches with the "
                "same rows. *Over splits*: the mean of each run counts once, and the interval is "
                "that of the corrected resampled t test (Nadeau & Bengio 2003): it covers other "
                "cuts of these corpora, too, but no other corpora. Both are simultaneous at 95 % "
                "for all rows. Differences are metric − classification. "
                "`python -m studies.resampled` writes this page.",
                f"Of the first run's verdicts that name a winner, {said}.",
                "![the difference for each use, over seeds and over splits](resampled.png)",
                table(head, rows),
            ]
        )
        + "\n"
    )


def _named(uses: Sequence[str]) -> str:
    return f" ({', '.join(uses)})" if uses else ""


def _interval(paired: Paired) -> str:
    return difference([paired.mean, paired.low, paired.high])


def _counted(verdicts: Sequence[Verdict]) -> str:
    """How many runs say what, the most frequent first."""
    said = [cell_text(verdict.judgement).strip("*") for verdict in verdicts]
    counts = {each: said.count(each) for each in dict.fromkeys(said)}
    order = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{count} × {each}" for each, count in order)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.resampled", __doc__)
    made.add_argument(
        "runs", nargs="+", type=Path, metavar="FOLDER", help="of a finished run, the first is shown"
    )
    made.add_argument(
        "--out", type=Path, default=Path("docs"), metavar="FOLDER",
        help="where the page and the picture go (%(default)s)",
    )  # fmt: skip
    return made


if __name__ == "__main__":
    command.run(main, parser())
