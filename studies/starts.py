"""Which verdicts of the study change with the start of the encoder?

Reads finished runs of the pipeline that differ in the encoder alone, each in a folder of its own
(params.yaml and data/), and writes starts.md: for each question of the study the verdict from
every start, and which of them are other ones than from the start that is named first.

Examples:
    python -m studies.starts random=. given=../given frozen=../frozen
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from studies.inputs import read_run
from textmetric import command
from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.grid import Baseline, Family, Role
from textmetric.measures import mean_interval
from textmetric.report.findings import Finding, find_all
from textmetric.report.formats import (
    cell_text,
    difference,
    number,
    plain,
    table,
    with_interval,
    words,
)
from textmetric.report.names import BASELINES
from textmetric.report.original import corpus_title
from textmetric.report.study import Study
from textmetric.report.verdicts import Verdict
from textmetric.yaml12 import flow

Answers = Mapping[str, tuple[Finding, Verdict]]
"""What a reader wants embeddings for → the finding, and its verdict."""
SAME = ("splits", "arms", "seeds", "corpora", "objectives")
"""What the runs must share, so that the encoder alone is between them."""


def main(arguments: argparse.Namespace) -> None:
    """Read the runs, write the page."""
    folders = dict(_named(word) for word in arguments.runs)
    if len(folders) < max(2, len(arguments.runs)):
        raise UserError("give two runs or more, each with another name: random=. given=../given")
    studies = {name: read_run(folder) for name, folder in folders.items()}
    first = next(iter(studies))
    for name, study in studies.items():
        for part in SAME:
            if getattr(study, part) != getattr(studies[first], part):
                raise UserError(
                    f"the runs {first} and {name} differ in their {part}: run both with the same "
                    "params.yaml except for the section model"
                )
    with replacing_file(arguments.out / "starts.md") as path:
        path.write_text(page(studies), encoding="utf-8")
    print(arguments.out / "starts.md")


def _named(word: str) -> tuple[str, Path]:
    name, found, folder = word.partition("=")
    if not name or not found:
        raise UserError(f"{word!r} has no name and folder: write it as random=FOLDER")
    return name, Path(folder)


def page(studies: Mapping[str, Study]) -> str:
    """The page as Markdown.

    Args:
        studies: name of the start → the run, which differs from the others in the encoder alone.
    """
    answers: dict[str, Answers] = {
        name: {
            finding.use: (finding, finding.verdict)
            for finding in find_all(study)
            if finding.use and finding.verdict
        }
        for name, study in studies.items()
    }
    study = next(iter(studies.values()))
    rows = " and ".join(
        f"{summary['train_rows']:,} train and {summary['test_rows']:,} test texts of "
        f"{plain(corpus_title(summary))} ({summary['classes']} classes)"
        for summary in study.corpora.values()
    )
    about = (
        "The questions of the study, asked again with other encoders: metric learning "
        f"(`{study.objectives[Family.METRIC]['name']}`) against classification "
        f"(`{study.objectives[Family.CLASSIFICATION]['name']}`), on {rows}. Means over "
        f"{len(study.seeds)} seeds. Everything but the encoder is the same, and nothing is tuned "
        "for it. Intervals and verdicts are those of each run's own report, corrected for all its "
        "tables. `python -m studies.starts` writes this page."
    )
    return (
        "\n\n".join(
            [
                "# Do the verdicts change with the start of the encoder?",
                about,
                "\n".join(
                    f"- **{plain(name)}**: {_settings(one)}" for name, one in studies.items()
                ),
                "## Which change",
                "\n".join(_changes(answers)),
                "A verdict that changes says that the two runs lead to other conclusions. It is no "
                "test of whether their differences differ: see the intervals.",
                "## Verdicts",
                "Each cell: the verdict, then metric − classification with its interval.",
                _verdicts(study, answers),
                "## Means",
                "Classification / metric learning / the encoder before training, each family with "
                "the sampler that is best on validation.",
                _means(study, answers),
            ]
        )
        + "\n"
    )


def _settings(study: Study) -> str:
    sections = {"model": study.model, "train": study.train}
    given = {
        name: values
        for name, section in sections.items()
        if (values := section.model_dump(exclude_defaults=True))
    }
    if study.pretraining is not None:
        given["pretrain"] = dict(study.pretraining)
    return f"`{flow(given)}`" if given else "as params.yaml has it"


def _changes(answers: Mapping[str, Answers]) -> list[str]:
    """A sentence for each start but the first: which verdicts are other ones than from that."""
    first, *others = answers
    said = []
    for name in others:
        shared = [use for use in answers[first] if use in answers[name]]
        changed = [
            f"{use} ({words(before)} → {words(after)})"
            for use in shared
            if (before := answers[first][use][1].judgement)
            != (after := answers[name][use][1].judgement)
        ]
        said.append(
            f"- From **{plain(name)}**, {len(changed)} of {len(shared)} verdicts are other ones "
            f"than from {plain(first)}{': ' * bool(changed)}{'; '.join(changed)}."
        )
    return said


def _verdicts(study: Study, answers: Mapping[str, Answers]) -> str:
    def cell(start: str, use: str) -> str:
        _, verdict = answers[start][use]
        interval = difference([verdict.paired.mean, verdict.paired.low, verdict.paired.high])
        return f"{cell_text(verdict.judgement)} {interval}"

    return _table(study, answers, cell)


def _means(study: Study, answers: Mapping[str, Answers]) -> str:
    def cell(start: str, use: str) -> str:
        finding, verdict = answers[start][use]
        sides = (
            verdict.comparison.second,
            verdict.comparison.first,
            finding.baselines[Baseline.UNTRAINED].values,
        )
        return " / ".join(number(float(values.mean())) for values in sides)

    return _table(study, answers, cell, with_tfidf=True)


def _table(
    study: Study,
    answers: Mapping[str, Answers],
    cell: Callable[[str, str], str],
    *,
    with_tfidf: bool = False,
) -> str:
    """A row for each question that every run answers, a column for each start."""
    uses = [
        use for use in next(iter(answers.values())) if all(use in of for of in answers.values())
    ]
    rows = []
    for use in uses:
        finding, _ = next(iter(answers.values()))[use]
        cells = [use, _corpus(study, finding), *(cell(start, use) for start in answers)]
        if with_tfidf:
            cells.append(with_interval(mean_interval(finding.baselines[Baseline.TFIDF].values)))
        rows.append(cells)
    head = [
        "embeddings for",
        "corpus",
        *map(plain, answers),
        *[BASELINES[Baseline.TFIDF]] * with_tfidf,
    ]
    return table(head, rows)


def _corpus(study: Study, finding: Finding) -> str:
    splits = finding.primary.splits if finding.primary else ()
    roles: list[Role] = [study.splits[splits[0]].role] if splits else ["source", "target"]
    names = [plain(corpus_title(study.corpora[role])) for role in roles]
    return " to ".join(names)


def _parser() -> argparse.ArgumentParser:
    made = command.parser("studies.starts", __doc__)
    made.add_argument(
        "runs", nargs="+", metavar="NAME=FOLDER", help="a start, and the folder of its run"
    )
    made.add_argument(
        "--out", type=Path, default=Path("docs"), metavar="FOLDER",
        help="where starts.md goes (%(default)s)",
    )  # fmt: skip
    return made


if __name__ == "__main__":
    command.run(main, _parser())
