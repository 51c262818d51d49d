"""Tables 9 and 9-labels: fine-tuning on the target, with all and with few labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textmetric.grid import SCRATCH, Family
from textmetric.report.blocks import Cell, Column, Picture, Table
from textmetric.report.findings.finding import Finding, mean_of
from textmetric.report.names import INITS, TEST_ACCURACY, TUNINGS
from textmetric.report.study import Study
from textmetric.report.verdicts import Contrast, Verdict, judge, verdict_table
from textmetric.types import Float64

METRIC, CLASSIFICATION = Family.METRIC.short, Family.CLASSIFICATION.short

Condition = tuple[str, bool]
"""tuning, and whether the head ends in tanh."""

ORIGINAL: Condition = ("finetuned", True)
"""The condition of the original study, which is the headline."""


def transfer(study: Study) -> Finding:
    """9: with the whole train part of the target."""
    conditions = _conditions(study)
    rows: list[list[Cell]] = [
        [INITS[init], *(mean_of(_accuracy(study, init, each, 1.0)) for each in conditions)]
        for init in study.transfers
    ]
    verdicts = _metric_against_classification(study, conditions, {1.0: ""})
    helps = judge(
        [
            (
                TEST_ACCURACY,
                Contrast(f"{INITS[init]}, {name}"),
                _accuracy(study, init, condition, 1.0),
                _accuracy(study, SCRATCH, condition, 1.0),
            )
            for init in (CLASSIFICATION, METRIC)
            for condition, name in conditions.items()
        ],
        first="pre-training",
        second="scratch",
    )
    return Finding(
        "9",
        "Transfer to the target",
        [
            "Embeddings trained on the source start a classifier of the target; *scratch* starts "
            "from nothing. Read a column from top to bottom: test accuracy after the last epoch, "
            "with the encoder frozen or fine-tuned, and a head that ends in tanh (the original's) "
            "or does not.",
            Table([Column("initialisation"), *map(Column, conditions.values())], rows),
            verdict_table(verdicts),
            "Does training on the source help at all?",
            verdict_table(helps, minus="pre-trained − scratch"),
            Picture(
                "reports/figures/transfer.png",
                "accuracy and loss on the target's validation part by epoch",
            ),
        ],
        subject=TEST_ACCURACY,
        headline=TEST_ACCURACY,
        verdicts=verdicts,
    )


def label_efficiency(study: Study) -> Finding | None:
    """9-labels: with shares of the target's train rows, if there are any below 1."""
    conditions = _conditions(study)
    shares = sorted({float(share) for share in next(iter(study.transfers.values()))["share"]})
    small = [share for share in shares if share < 1]
    if not small:
        return None
    rows: list[list[Cell]] = [
        [
            f"{share * 100:g} %, {INITS[init]}",
            *(mean_of(_accuracy(study, init, each, share)) for each in conditions),
        ]
        for share in shares
        for init in study.transfers
    ]
    verdicts = _metric_against_classification(
        study, conditions, {share: f"{share * 100:g} %, " for share in reversed(small)}
    )
    return Finding(
        "9-labels",
        "Transfer with few labels",
        [
            "The same with a part of the target's train rows and as many steps. Read a column "
            "from block to block: how much of the accuracy is left with fewer labels.",
            Table([Column("train rows"), *map(Column, conditions.values())], rows),
            verdict_table(verdicts),
            Picture(
                "reports/figures/label-efficiency.png",
                "test accuracy by share of the target's train rows",
            ),
        ],
        subject=TEST_ACCURACY,
        headline=TEST_ACCURACY,
        verdicts=verdicts,
    )


def _metric_against_classification(
    study: Study, conditions: Mapping[Condition, str], shares: Mapping[float, str]
) -> list[Verdict]:
    """Every share and condition; the headline is the original's condition with the last share.

    Args:
        study: the run.
        conditions: each with its name; the original's comes last.
        shares: each with what its comparisons' names begin with.
    """
    ordered = sorted(conditions.items(), key=lambda item: item[0] == ORIGINAL)
    last = (list(shares)[-1], ordered[-1][0])
    return judge(
        [
            (
                TEST_ACCURACY,
                Contrast(prefix + name, headline=(share, condition) == last),
                _accuracy(study, METRIC, condition, share),
                _accuracy(study, CLASSIFICATION, condition, share),
            )
            for share, prefix in shares.items()
            for condition, name in ordered
        ]
    )


def _conditions(study: Study) -> dict[Condition, str]:
    """What the transfer was run under, and how it is called."""
    frame = next(iter(study.transfers.values()))
    heads = list(dict.fromkeys(frame["tanh"].astype(bool)))
    return {
        (tuning, tanh): f"{words}, {'tanh' if tanh else 'no tanh'}"
        for tuning, words in TUNINGS.items()
        if tuning in set(frame["tuning"])
        for tanh in heads
    }


def _accuracy(study: Study, init: str, condition: Condition, share: float) -> Float64:
    """(seeds,) test accuracy."""
    frame = study.transfers[init]
    tuning, tanh = condition
    chosen = frame[
        (frame["tuning"] == tuning)
        & (frame["tanh"].astype(bool) == tanh)
        & np.isclose(frame["share"], share)
    ].dropna(subset=["test_accuracy"])
    by_seed = chosen.set_index("seed")["test_accuracy"].reindex(list(study.seeds))
    return by_seed.to_numpy(np.float64)
