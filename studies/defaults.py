"""Which settings win on most corpora? Candidates are chosen on validation, then measured on test.

A setting is an objective, a width, a learning rate and a number of epochs. Each is trained on 8, 64
and all rows a class of every corpus, with several draws of the rows. Its regret is how much its
validation accuracy is below that of the best candidate for the same corpus and number of rows; the
candidate with the smallest mean regret wins. The second table has the winner on the test part, next
to TF-IDF with logistic regression. Candidates from given vectors compete among themselves.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes defaults.md.

Examples:
    python -m studies.defaults
    python -m studies.defaults --corpora trec.csv news --vectors all-MiniLM-L6-v2 --unlabelled
    python -m studies.defaults --objectives triplet sup_con --widths 32 --lr 0.03 0.1
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studies import options
from studies.few_labels import PRETRAIN, Job, add_few_label_options, run_jobs
from studies.inputs import load_tokenized, store, store_vectors
from textmetric import command, splits
from textmetric.command import INTERACTIVE
from textmetric.encoders import token_vectors
from textmetric.errors import UserError
from textmetric.files import replacing_file
from textmetric.measures import mean_interval
from textmetric.params import Model, Train, read
from textmetric.report.formats import plain, table, with_interval
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus

OBJECTIVES = ["cross_entropy", "triplet", "sup_con", "proxy_nca"]
ALL = 10**9
"""More rows a class than any corpus has."""
RANDOM, GIVEN = "random start", "given vectors"


@dataclass(frozen=True)
class Candidate:
    """Settings that compete.

    Attributes:
        objective: its name.
        dim: width of the embedding.
        lr: learning rate at the first step.
        seen: texts to train on in all; the epochs are as many as that takes, in [4, 30].
    """

    objective: str
    dim: int
    lr: float
    seen: int

    @property
    def title(self) -> str:
        """For tables."""
        return f"{self.objective}, {self.dim} wide, lr {self.lr:g}, {self.seen:,} texts"

    def epochs(self, rows: int) -> int:
        """How often each of ``rows`` texts is seen.

        >>> [Candidate("triplet", 32, 0.1, 100_000).epochs(n) for n in (64, 10_000, 100_000)]
        [30, 10, 4]
        """
        return int(np.clip(round(self.seen / rows), 4, 30))


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the tables."""
    params = read(arguments.params)
    if min(arguments.lr) <= 0 or min(arguments.widths) < 1 or min(arguments.seen) < 1:
        raise UserError("--lr, --widths and --seen must be above 0")
    (arguments.results / "corpora").mkdir(parents=True, exist_ok=True)
    jobs, places = list[Job](), list[dict[str, Any]]()
    vectors: dict[int, tuple[Path, Any]] = {}
    if arguments.vectors is not None:
        for dim in arguments.widths:
            found = token_vectors(arguments.vectors, dim=dim, progress=INTERACTIVE)
            vectors[dim] = store_vectors(found, arguments.results / "vectors"), found.vocabulary
    for word in arguments.corpora:
        spec = options.mapping_or_name(word)
        corpus, summary = load_tokenized(spec, params.data, progress=INTERACTIVE)
        _add(jobs, places, arguments, params.train, corpus_title(summary), corpus)
        if vectors:
            vocabulary = next(iter(vectors.values()))[1]
            given, _ = load_tokenized(spec, params.data, given=vocabulary, progress=INTERACTIVE)
            folders = {dim: folder for dim, (folder, _) in vectors.items()}
            _add(jobs, places, arguments, params.train, corpus_title(summary), given, folders)
    measured = pd.concat(
        [pd.DataFrame(places), pd.DataFrame(run_jobs(jobs, arguments.results / "few"))], axis=1
    )
    with replacing_file(arguments.out / "defaults.md") as path:
        path.write_text(_page(measured), encoding="utf-8")


def _add(
    jobs: list[Job],
    places: list[dict[str, Any]],
    arguments: argparse.Namespace,
    settings: Train,
    title: str,
    corpus: TokenizedCorpus,
    vectors: dict[int, Path] | None = None,
) -> None:
    """The trainings on one corpus, from one start."""
    candidates = [
        Candidate(*each)
        for each in itertools.product(
            arguments.objectives, arguments.widths, arguments.lr, arguments.seen
        )
    ]
    start = RANDOM if vectors is None else GIVEN
    variants = [None, PRETRAIN] if arguments.unlabelled else [None]
    families = {name: options.chosen_objectives([name])[0] for name in arguments.objectives}
    for rows, draw, pretrain in itertools.product(
        [*arguments.budgets, ALL], arguments.draws, variants
    ):
        few = splits.few_rows(corpus, rows, draw, unlabel=pretrain is not None)
        folder = store(few, arguments.results / "corpora")
        about = {"corpus": title, "rows": "all" if rows == ALL else str(rows), "draw": draw}
        about["start"] = start + (", pre-trained" if pretrain else "")
        for candidate in candidates:
            family, objective = families[candidate.objective]
            jobs.append(
                Job(
                    folder, family, objective, Model(dim=candidate.dim),
                    settings.model_copy(
                        update={"lr": candidate.lr, "epochs": candidate.epochs(len(few.train))}
                    ),
                    None if vectors is None else vectors[candidate.dim], pretrain, draw,
                )
            )  # fmt: skip
            places.append(about | {"candidate": candidate.title})
        if vectors is None and pretrain is None:
            jobs.append(Job(folder, None, {}, Model(), settings, None, None, draw, tfidf=True))
            places.append(about | {"start": "TF-IDF", "candidate": "TF-IDF"})


def regrets(measured: pd.DataFrame) -> pd.Series[float]:
    """The mean regret of each candidate on validation, the smallest first.

    Args:
        measured: columns corpus, rows, candidate, draw, validation_accuracy.
    """
    cells = measured.groupby(["corpus", "rows", "candidate"])["validation_accuracy"].mean()
    wide = cells.unstack("candidate")  # noqa: PD010
    below = wide.rsub(wide.max(axis=1), axis=0)
    found: pd.Series[float] = below.mean(axis=0).sort_values(kind="stable")
    return found


def _page(measured: pd.DataFrame) -> str:
    tfidf = measured[measured["start"] == "TF-IDF"]
    text = [
        "# Which settings win?",
        "",
        "Written by `python -m studies.defaults`. Regret: how much the mean validation accuracy "
        "is below that of the best candidate, averaged over corpora and rows a class. Test "
        "accuracy: mean over the draws ± half of the 95 % interval.",
    ]
    for start in [name for name in dict.fromkeys(measured["start"]) if name != "TF-IDF"]:
        mine = measured[measured["start"] == start]
        order = regrets(mine)
        winner = str(order.index[0])
        rows = [[plain(str(name)), f"{value:.3f}"] for name, value in order.items()]
        text += ["", f"## {start[0].upper()}{start[1:]}", ""]
        text += [table(["candidate", "mean regret"], rows), ""]
        text += [f"Chosen: {winner}. On the test part:", "", _test_table(mine, winner, tfidf)]
    return "\n".join(text) + "\n"


def _test_table(mine: pd.DataFrame, winner: str, tfidf: pd.DataFrame) -> str:
    head = ["corpus", "rows a class", "accuracy", "TF-IDF + logistic regression", "difference"]
    rows = []
    for (corpus, count), cell in mine[mine["candidate"] == winner].groupby(
        ["corpus", "rows"], sort=False
    ):
        ours = cell.set_index("draw")["accuracy"]
        same = (tfidf["corpus"] == corpus) & (tfidf["rows"] == count)
        theirs = tfidf[same].set_index("draw")["accuracy"]
        rows.append(
            [
                plain(str(corpus)),
                str(count),
                with_interval(mean_interval(ours)),
                with_interval(mean_interval(theirs)),
                with_interval(mean_interval(ours - theirs)),
            ]
        )
    return table(head, rows)


def _parser() -> argparse.ArgumentParser:
    made = command.parser("studies.defaults", __doc__)
    made.add_argument(
        "--corpora", nargs="+", default=["docstrings", "docstring_modules"], metavar="SPEC",
        help="built-in names, paths or mappings, see docs/corpora.md (%(default)s)",
    )  # fmt: skip
    made.add_argument("--objectives", nargs="+", default=OBJECTIVES, help=" ".join(OBJECTIVES))
    made.add_argument("--widths", nargs="+", type=int, default=[32, 256], help="(32 256)")
    made.add_argument("--lr", nargs="+", type=float, default=[0.01, 0.03, 0.1], help="(.01 .03 .1)")
    made.add_argument(
        "--seen", nargs="+", type=int, default=[100_000], help="texts to train on (100000)"
    )
    made.add_argument("--budgets", nargs="+", type=int, default=[8, 64], help="and all (8 64)")
    made.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2], help="(0 1 2)")
    add_few_label_options(made, "where the tables go")
    return made


if __name__ == "__main__":
    command.run(main, _parser(), after_interrupt=options.AFTER_INTERRUPT)
