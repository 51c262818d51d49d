"""How many of the labels that look wrong are wrong? The audit against cleanlab.

A tenth of the train labels of each corpus is swapped along the confusion: a class for one that
TF-IDF with logistic regression takes it for, as often as it does, on folds that it was not trained
on. The precision is the share of swapped labels among as many suspects as were swapped. cleanlab
ranks the labels by the same probabilities as the audit, in each of its ways, and the best of these
is chosen after the fact. Errors that the corpora had before count against both.

Writes label-audit.md. cleanlab comes with the extra peers.

Examples:
    python -m studies.audit --corpora '{path: trec/train.csv.gz, label: label}'
    python -m studies.audit --corpora trec.csv banking77.csv --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from typing import NamedTuple

import numpy as np

from studies import options
from studies.inputs import read_corpus
from studies.label_noise import along_confusion
from textmetric import command
from textmetric.audit import Audit, audit
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError, missing_package
from textmetric.files import replacing_file
from textmetric.measures import mean_interval
from textmetric.params import read
from textmetric.report.formats import difference, plain, table, with_interval
from textmetric.report.original import corpus_title
from textmetric.types import Bools, Float64, Int64

SHARE = 0.1
"""Of the labels is swapped."""
WAYS = (
    ("self_confidence", False),
    ("self_confidence", True),
    ("normalized_margin", False),
    ("normalized_margin", True),
    ("confidence_weighted_entropy", False),
)
"""Methods of cleanlab's ``get_label_quality_scores``, and whether it adjusts probabilities."""


class Swapped(NamedTuple):
    """What one corpus with swapped labels gave.

    Attributes:
        ours: the precision of the audit.
        theirs: that of cleanlab, by its ways.
        right: of the swapped labels that the audit suspects, the share whose proposal is right.
        seconds: of processor time that the audit took.
    """

    ours: float
    theirs: dict[str, float]
    right: float
    seconds: float


def precision(suspicion: Float64, wrong: Bools) -> float:
    """The share of wrong labels among as many suspects as there are; the largest are suspects."""
    order = np.argsort(-suspicion, kind="stable")
    return float(wrong[order[: wrong.sum()]].mean())


def by_cleanlab(found: Audit, wrong: Bools) -> dict[str, float]:
    """The precision of each way of cleanlab on the probabilities of an audit."""
    from cleanlab.rank import get_label_quality_scores

    given = np.searchsorted(found.classes, found.given)
    return {
        f"{method}{', adjusted' * adjusted}": precision(
            -get_label_quality_scores(
                given, found.probabilities, method=method, adjust_pred_probs=adjusted
            ),
            wrong,
        )
        for method, adjusted in WAYS
    }


def one(texts: list[str], labels: Int64, seed: int) -> Swapped:
    """Swap labels, audit them and rank them by cleanlab."""
    noisy = along_confusion(texts, labels, SHARE, np.random.default_rng(seed))
    started = time.process_time()
    found = audit(texts, noisy.tolist(), seed=seed, progress=INTERACTIVE)
    seconds = time.process_time() - started
    wrong = labels[found.rows] != found.given
    caught = wrong & (found.scores > 1)
    right = labels[found.rows[caught]] == found.proposed[caught]
    return Swapped(
        precision(found.scores, wrong), by_cleanlab(found, wrong), float(right.mean()), seconds
    )


def main(arguments: argparse.Namespace) -> None:
    """Audit each corpus with each seed, write the table."""
    if importlib.util.find_spec("cleanlab") is None:
        raise missing_package("cleanlab", "this study", "peers")
    params = read(arguments.params)
    if min(arguments.seeds) < 0 or len(set(arguments.seeds)) < len(arguments.seeds):
        raise UserError(f"--seeds is {arguments.seeds}: give different whole numbers from 0")
    rows = []
    for word in arguments.corpora:
        corpus = read_corpus(options.mapping_or_name(word), params.data, INTERACTIVE)
        frame = corpus.frame[corpus.frame["split"] == "train"]
        names, labels = np.unique(frame["label"].astype(str), return_inverse=True)
        found = [one(frame["text"].tolist(), labels, seed) for seed in arguments.seeds]
        best = max(found[0].theirs, key=lambda way: sum(each.theirs[way] for each in found))
        ours = np.array([each.ours for each in found])
        theirs = np.array([each.theirs[best] for each in found])
        rows.append(
            [
                plain(corpus_title(corpus.summary)),
                f"{len(labels):,}",
                f"{len(names)}",
                with_interval(mean_interval(ours)),
                f"{with_interval(mean_interval(theirs))} ({best})",
                difference(mean_interval(ours - theirs)),
                f"{np.mean([each.right for each in found]):.0%}",
                f"{np.mean([each.seconds for each in found]):.0f}",
            ]
        )
        print(*rows[-1], sep="  ", flush=True)
    head = ["corpus", "texts", "classes", "audit", "cleanlab", "audit − cleanlab",
            "proposals that are right", "processor seconds"]  # fmt: skip
    text = _PAGE.format(share=f"{SHARE:.0%}", seeds=len(arguments.seeds), table=table(head, rows))
    with replacing_file(arguments.out / "label-audit.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


_PAGE = """# Labels that look wrong: precision

Written by `python -m studies.audit`. {share} of the train labels of each corpus were swapped along
the confusion of TF-IDF with logistic regression. Precision: the share of swapped labels among as
many suspects as were swapped. Means over {seeds} draws, ± half of the 95 % interval. cleanlab ranks
by the same out-of-fold probabilities as the audit; the best of its five rankings is shown for each
corpus, chosen after the fact. Labels that were wrong before count against both. *Proposals that are
right*: of the swapped labels that are suspects.

{table}
"""


if __name__ == "__main__":
    parser = command.parser("studies.audit", __doc__)
    parser.add_argument("--corpora", nargs="+", required=True, metavar="SPEC")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="(0 1 2)")
    options.add_files(parser, "where the table goes")
    command.run(main, parser, after_interrupt="run the same command again")
