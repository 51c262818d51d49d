"""Do the defaults of TextEmbedder win? Each is changed in turn, on validation; then the test part.

The embedder is trained on 8, 64 and all rows a class of every corpus, with several draws of the
rows: with its defaults, and with one of them changed at a time. A change is good if its validation
accuracy is higher on the mean over corpora and numbers of rows. The second table has the defaults
on the test part, next to TF-IDF with logistic regression, both as a user of scikit-learn has them.

There are up to three starts: from the texts alone; with --vectors, from given token vectors; with
--unlabelled, from these and the rest of the train texts without labels.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes defaults.md.

Examples:
    python -m studies.defaults
    python -m studies.defaults --corpora trec.csv news --vectors all-MiniLM-L6-v2 --unlabelled
    python -m studies.defaults --budgets 8 64 --changes triplet "32 wide"
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from studies import options
from studies.few_labels import add_few_label_options
from studies.inputs import read_corpus, store_vectors
from studies.names import name_of
from textmetric import command, parallel
from textmetric.command import INTERACTIVE
from textmetric.embedder import STUDY, TextEmbedder
from textmetric.encoders import token_vectors
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_file, write_json
from textmetric.measures import mean_interval
from textmetric.params import Data, read
from textmetric.report.formats import difference, plain, table, with_interval
from textmetric.report.original import corpus_title
from textmetric.types import PARTS

DEFAULTS = "the defaults"
ALONE, GIVEN, UNLABELLED = "the texts alone", "given vectors", "given vectors, unlabelled texts"
TFIDF = {f"TF-IDF, C = {c:g}": c for c in (1.0, 10.0)}
CHANGES: dict[str, dict[str, Any]] = {
    "cross_entropy": {"objective": "cross_entropy"},
    "triplet": {"objective": "triplet"},
    "proxy_nca": {"objective": "proxy_nca"},
    "32 wide": {"dim": 32},
    "shuffled batches": {"sampler": "shuffled"},
    "lr 0.03": {"lr": 0.03},
    "lr 0.1": {"lr": 0.1},
    "4 epochs": {"epochs": 4},
    "20 epochs": {"epochs": 20},
    "nearest centroid": {"classifier": "centroid"},
    "logistic regression": {"classifier": "logistic"},
}
"""What is changed, from every start."""
OF_START: dict[str, dict[str, dict[str, Any]]] = {
    ALONE: {
        "uniform start": {"start": "uniform"},
        "basic_english": {"tokenizer": "basic_english"},
        "character n-grams": {"tokenizer": "basic_english_ngrams"},
        "the study's settings": {"objective": "triplet"} | STUDY,
    },
    UNLABELLED: {"no pre-training": {"pretrain": None}},
}
"""What else is changed from one start."""
ALL = "all"
_NONE = (math.nan, math.nan)
FAILED = -1.0
"""The accuracy of a training that diverged or collapsed."""


@dataclass(frozen=True)
class Job:
    """One training: everything its result depends on.

    Attributes:
        frame: file of a corpus with the columns text, label and split, named by its contents.
        rows: rows a class, or ``all``.
        draw: which rows; also the seed.
        parameters: of TextEmbedder.
        vectors: folder of given token vectors, named by its contents; None for none.
        unlabelled: fit the other train texts too, without their labels.
        c: of logistic regression on TF-IDF vectors, in place of an embedder; None for an embedder.
    """

    frame: Path
    rows: str
    draw: int
    parameters: dict[str, Any]
    vectors: Path | None = None
    unlabelled: bool = False
    c: float | None = None

    def key(self) -> str:
        """The name of the result: a hash of the above and of the code that counts."""
        parts = [
            self.frame.name,
            self.rows,
            self.draw,
            self.parameters,
            None if self.vectors is None else self.vectors.name,
            self.unlabelled,
            self.c,
        ]
        return name_of(parts, "studies.defaults", "textmetric.embedder")


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the tables."""
    params = read(arguments.params)
    if min(arguments.budgets, default=2) < 2:
        raise UserError("--budgets must be at least 2 rows a class")
    if arguments.unlabelled and arguments.vectors is None:
        raise UserError("--unlabelled needs --vectors: name given token vectors")
    known = list(CHANGES) + [name for changes in OF_START.values() for name in changes]
    for name in arguments.changes or []:
        if name not in known:
            raise UserError(f"--changes: there is no {name!r}; there are {', '.join(known)}")
    starts: dict[str, Path | None] = {ALONE: None}
    if arguments.vectors is not None:
        found = token_vectors(arguments.vectors, progress=INTERACTIVE)
        starts[GIVEN] = store_vectors(found, arguments.results / "vectors")
        if arguments.unlabelled:
            starts[UNLABELLED] = starts[GIVEN]
    budgets = [*map(str, arguments.budgets), ALL]
    jobs, places = list[Job](), list[dict[str, Any]]()
    for word in arguments.corpora:
        title, frame = stored(options.mapping_or_name(word), params.data, arguments.results)
        for rows, draw in itertools.product(budgets, range(arguments.draws)):
            if rows == ALL and draw >= arguments.draws_of_all:
                continue
            about = {"corpus": title, "rows": rows, "draw": draw}
            for name, c in TFIDF.items():
                jobs.append(Job(frame, rows, draw, {}, c=c))
                places.append(about | {"start": name, "change": DEFAULTS})
            for start, vectors in starts.items():
                if start == UNLABELLED and rows == ALL:
                    continue  # no text is left over
                changes = {DEFAULTS: {}, **CHANGES, **OF_START.get(start, {})}
                for name, parameters in changes.items():
                    if name != DEFAULTS and not _wanted(arguments, name, start, rows, draw):
                        continue
                    jobs.append(Job(frame, rows, draw, parameters, vectors, start == UNLABELLED))
                    places.append(about | {"start": start, "change": name})
    found_accuracies = run_jobs(jobs, arguments.results / "defaults")
    measured = pd.concat([pd.DataFrame(places), pd.DataFrame(found_accuracies)], axis=1)
    with replacing_file(arguments.out / "defaults.md") as path:
        path.write_text(_page(measured, list(starts)), encoding="utf-8")


def _wanted(arguments: argparse.Namespace, change: str, start: str, rows: str, draw: int) -> bool:
    if arguments.changes is not None and change not in arguments.changes:
        return False
    if start not in arguments.changes_from or draw >= arguments.draws_of_changes:
        return False
    return rows != ALL or arguments.changes_of_all


def stored(spec: str | dict[str, Any], data: Data, results: Path) -> tuple[str, Path]:
    """The name of a corpus for tables, and its file."""
    corpus = read_corpus(spec, data, INTERACTIVE)
    frame = corpus.frame[["text", "label", "split"]].astype(str)
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    path = results / "frames" / f"{digest.hexdigest()[:24]}.parquet"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as temporary:
            frame.to_parquet(temporary, index=False)
    return corpus_title(corpus.summary), path


def drawn_rows(labels: pd.Series[str], rows: str, draw: int) -> np.ndarray[Any, Any]:
    """The places of ``rows`` rows of each label, or all; none of a label that has one row.

    Args:
        labels: (n,) of the train part.
        rows: a number, or ``all``.
        draw: which rows.
    """
    order = np.random.default_rng(draw).permutation(len(labels))
    shuffled = labels.iloc[order]
    place = shuffled.groupby(shuffled).cumcount().to_numpy()
    often = shuffled.groupby(shuffled).transform("size").to_numpy() > 1
    return np.sort(order[often & ((rows == ALL) | (place < (0 if rows == ALL else int(rows))))])


def run_jobs(jobs: list[Job], results: Path) -> list[dict[str, float]]:
    """The accuracies of the jobs, in their order; those in the folder are read, the others done."""
    files = [results / f"{job.key()}.json" for job in jobs]
    # the longest first, so that no process ends long after the others
    order = sorted(range(len(jobs)), key=lambda place: jobs[place].rows != ALL)
    parallel.finish(
        _run,
        [jobs[place] for place in order],
        [files[place] for place in order],
        label="defaults",
        unit="training",
        progress=INTERACTIVE,
    )
    return [read_json(file) for file in files]


_frame = parallel.kept(pd.read_parquet)


def _run(job: tuple[Job, Path], tick: Callable[[], None]) -> None:
    given, file = job
    frame = _frame(given.frame)
    parts = {part: frame[frame["split"] == part] for part in PARTS}
    train = parts["train"]
    places = drawn_rows(train["label"], given.rows, given.draw)
    texts, labels = train["text"].to_numpy()[places], train["label"].to_numpy()[places]
    if given.unlabelled:
        rest = np.setdiff1d(np.arange(len(train)), places)
        texts = np.concatenate([texts, train["text"].to_numpy()[rest]])
        labels = np.concatenate([labels, np.full(len(rest), "", dtype=object)])
    found: dict[str, float] = {}
    try:
        if given.c is not None:
            classifier: Any = make_pipeline(
                TfidfVectorizer(), LogisticRegression(C=given.c, max_iter=1000)
            )
        else:
            classifier = TextEmbedder(
                vectors=None if given.vectors is None else str(given.vectors),
                seed=given.draw,
                **given.parameters,
            )
        classifier.fit(list(texts), list(labels))
        for part in ("validation", "test"):
            rows = parts[part]
            predicted = classifier.predict(list(rows["text"]))
            found[part] = float((predicted == rows["label"].to_numpy()).mean())
        found["lr"] = getattr(classifier, "lr_", 0.0)
    except UserError:  # diverged or collapsed: other settings may not
        found = {"validation": FAILED, "test": FAILED, "lr": 0.0}
    write_json(file, found)
    tick()


def changes(measured: pd.DataFrame) -> pd.DataFrame:
    """By how much each change raises the validation accuracy, the best first.

    Args:
        measured: columns corpus, rows, change, draw, validation; of one start.

    Returns:
        A row a change, with the columns mean, low, high (the 95 % interval over the pairs of
        corpus and number of rows, of which each is a mean over the draws that both have), worst
        and best.
    """
    each = measured.pivot_table(
        index=["corpus", "rows", "draw"], columns="change", values="validation", sort=False
    )
    rows = {}
    for name in each.columns.drop(DEFAULTS):
        # on the same draws of the rows
        gains = (each[name] - each[DEFAULTS]).dropna().groupby(["corpus", "rows"]).mean()
        rows[name] = [*mean_interval(gains), gains.min(), gains.max()]
    columns = ["mean", "low", "high", "worst", "best"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return found.sort_values("mean", ascending=False, kind="stable")


def _page(measured: pd.DataFrame, starts: list[str]) -> str:
    text = [
        "# Do the defaults of TextEmbedder win?",
        "",
        "Written by `python -m studies.defaults`. `TextEmbedder` and TF-IDF with scikit-learn's "
        "`LogisticRegression` learn from the same rows. A class with one row is left out.",
        "",
        "## One default changed at a time",
        "",
        "The validation accuracy with the change, minus that with the defaults: the mean over "
        "corpora and numbers of rows with its 95 % interval, and the worst and best of them. No "
        "text of the test part has a say.",
    ]
    for start in starts:
        mine = measured[measured["start"] == start]
        if mine["change"].nunique() < 2:
            continue
        found = changes(mine)
        rows = [
            [
                plain(str(name)),
                difference(row[:3]),
                difference((row[3], *_NONE)),
                difference((row[4], *_NONE)),
            ]
            for name, row in zip(found.index, found.to_numpy().tolist(), strict=True)
        ]
        text += ["", f"From {start}:", "", table(["change", "accuracy", "worst", "best"], rows)]
    text += [
        "",
        "## The defaults on the test part",
        "",
        "Accuracy: mean over the draws of the rows ± half of the 95 % interval.",
        "",
        _test_table(measured, [*TFIDF, *starts]),
    ]
    text += ["", *(f"{_against(measured, start)}" for start in starts)]
    return "\n".join(text) + "\n"


def _test_table(measured: pd.DataFrame, columns: list[str]) -> str:
    mine = measured[measured["change"] == DEFAULTS]
    rows = []
    for (corpus, count), cell in mine.groupby(["corpus", "rows"], sort=False):
        found = [cell.loc[cell["start"] == start, "test"] for start in columns]
        rows.append(
            [plain(str(corpus)), str(count)]
            + [with_interval(mean_interval(few)) if len(few) else "" for few in found]
        )
    return table(["corpus", "rows a class", *columns], rows)


def _against(measured: pd.DataFrame, start: str) -> str:
    """How the defaults from one start do against TF-IDF, in a sentence for a list."""
    mine = measured[measured["change"] == DEFAULTS]
    cells = mine.pivot_table(index=["corpus", "rows"], columns="start", values="test", sort=False)
    parts = []
    for name in TFIDF:
        both = cells[[start, name]].dropna()
        below = both[start] - both[name]
        corpus, rows = below.index[int(below.argmin())]
        mean, worst = (difference((value, *_NONE)) for value in (below.mean(), below.min()))
        parts.append(
            f"against {name} better in {int((below > 0).sum())} of {len(below)} lines, on average "
            f"{mean}, at worst {worst} ({corpus}, {rows} rows)"
        )
    return f"- From {start}: {'; '.join(parts)}."


def _parser() -> argparse.ArgumentParser:
    made = command.parser("studies.defaults", __doc__)
    made.add_argument(
        "--corpora", nargs="+", default=["docstrings", "docstring_modules"], metavar="SPEC",
        help="built-in names, paths or mappings, see docs/corpora.md (%(default)s)",
    )  # fmt: skip
    made.add_argument("--changes", nargs="*", metavar="CHANGE", help="those to try (all)")
    made.add_argument(
        "--changes-from", nargs="+", choices=[ALONE, GIVEN, UNLABELLED],
        default=[ALONE, GIVEN, UNLABELLED], metavar="START", help="from these starts (all)",
    )  # fmt: skip
    made.add_argument("--draws-of-changes", type=int, default=3, help="of the rows (3)")
    made.add_argument(
        "--changes-of-all", action="store_true", help="try them on all rows too, which takes long"
    )
    made.add_argument("--budgets", nargs="+", type=int, default=[8, 64], help="and all (8 64)")
    made.add_argument("--draws", type=int, default=3, help="of the rows (3)")
    made.add_argument("--draws-of-all", type=int, default=1, help="seeds with all rows (1)")
    add_few_label_options(made, "where the tables go")
    return made


if __name__ == "__main__":
    command.run(main, _parser(), after_interrupt=options.AFTER_INTERRUPT)
