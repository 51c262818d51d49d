"""Tables 9 and 9-labels: fine-tuning on the target, with all and with few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from textmetric.grid import SCRATCH, Baseline, Family
from textmetric.report.blocks import Block, Cell, Column, Picture, Table
from textmetric.report.findings.finding import Finding, corrected_for, mean_of
from textmetric.report.names import INITS, TEST_ACCURACY, TUNINGS
from textmetric.report.study import Study
from textmetric.report.verdicts import (
    Against,
    Comparison,
    Contrast,
    Verdict,
    against,
    verdict_table,
)
from textmetric.types import Float64

METRIC, CLASSIFICATION = Family.METRIC.short, Family.CLASSIFICATION.short

Condition = tuple[str, bool]
"""tuning, and whether the head ends in tanh."""

ORIGINAL: Condition = ("finetuned", True)
"""The condition of the original study, which is the headline."""


TFIDF = "TF-IDF, logistic regression"
"""The name of its row."""


def transfer(study: Study) -> Finding:
    """9: with the whole train part of the target."""
    conditions = _conditions(study)
    rows: list[list[Cell]] = [
        [INITS[init], *(mean_of(_accuracy(study, init, each, 1.0)) for each in conditions)]
        for init in study.transfers
    ]
    rows.append([TFIDF, *[mean_of(_of_tfidf(study, 1.0))] * len(conditions)])
    families = _metric_against_classification(study, conditions, {1.0: ""})
    helps = [
        _comparison(study, Contrast(f"{INITS[init]}, {name}"), init, SCRATCH, condition, 1.0)
        for init in (CLASSIFICATION, METRIC)
        for condition, name in conditions.items()
    ]

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            "Embeddings trained on the source start a classifier of the target; *scratch* starts "
            "from nothing, and with the encoder frozen it is the untrained encoder. Read a column "
            "from top to bottom: test accuracy after the last epoch, with the encoder frozen or "
            "fine-tuned, and a head that ends in tanh (the original's) or does not. TF-IDF with "
            "logistic regression has no encoder, so it is the same in every column.",
            Table([Column("initialisation"), *map(Column, conditions.values())], rows),
            corrected_for(verdicts),
            verdict_table(verdicts[: len(families)]),
            "Does training on the source help at all?",
            verdict_table(verdicts[len(families) :], minus="pre-trained − scratch"),
            Picture(
                "reports/figures/transfer.png",
                "accuracy and loss on the target's validation part by epoch",
            ),
        ]

    return Finding(
        "9",
        "Transfer to the target",
        TEST_ACCURACY,
        [*families, *helps],
        write,
        use="transfer, all labels",
        baselines=_baselines(study, _headline(conditions), 1.0),
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
    rows += [
        [f"{share * 100:g} %, {TFIDF}", *[mean_of(_of_tfidf(study, share))] * len(conditions)]
        for share in shares
    ]
    found = _metric_against_classification(
        study, conditions, {share: f"{share * 100:g} %, " for share in reversed(small)}
    )

    def write(verdicts: Sequence[Verdict]) -> list[Block]:
        return [
            "The same with a part of the target's train rows and as many steps. Read a column "
            "from block to block: how much of the accuracy is left with fewer labels. TF-IDF with "
            "logistic regression learns from the same rows and from nothing else.",
            Table([Column("train rows"), *map(Column, conditions.values())], rows),
            corrected_for(verdicts),
            verdict_table(verdicts),
            Picture(
                "reports/figures/label-efficiency.png",
                "test accuracy by share of the target's train rows",
            ),
        ]

    return Finding(
        "9-labels",
        "Transfer with few labels",
        TEST_ACCURACY,
        found,
        write,
        use=f"transfer, {small[0] * 100:g} % of the labels",
        covers="seeds, rows",
        baselines=_baselines(study, _headline(conditions), small[0]),
    )


def _metric_against_classification(
    study: Study, conditions: Mapping[Condition, str], shares: Mapping[float, str]
) -> list[Comparison]:
    """Every share and condition; the headline is the original's condition with the last share.

    Args:
        study: the run.
        conditions: each with its name.
        shares: each with what its comparisons' names begin with.
    """
    headline = _headline(conditions)
    ordered = sorted(conditions.items(), key=lambda item: item[0] == headline)
    last = (list(shares)[-1], headline)
    return [
        _comparison(
            study,
            Contrast(prefix + name, headline=(share, condition) == last),
            METRIC,
            CLASSIFICATION,
            condition,
            share,
        )
        for share, prefix in shares.items()
        for condition, name in ordered
    ]


def _headline(conditions: Mapping[Condition, str]) -> Condition:
    """The original's condition, or the last if it was not run."""
    return ORIGINAL if ORIGINAL in conditions else list(conditions)[-1]


def _comparison(
    study: Study, contrast: Contrast, first: str, second: str, condition: Condition, share: float
) -> Comparison:
    """Two starts of fine-tuning, under one condition and with one share of the rows."""
    target = study.full("target")
    return Comparison(
        TEST_ACCURACY,
        contrast,
        _accuracy(study, first, condition, share),
        _accuracy(study, second, condition, share),
        grain=study.grain([target], TEST_ACCURACY.key) if target else 0.0,
        sides=("pre-training", "scratch") if second == SCRATCH else ("metric", "classification"),
    )


def _baselines(study: Study, condition: Condition, share: float) -> dict[Baseline, Against]:
    """The starts from the source against TF-IDF, and against starting from scratch."""
    target = study.full("target")
    trained = {
        f"from {INITS[init]}": _accuracy(study, init, condition, share)
        for init in (CLASSIFICATION, METRIC)
    }
    of_scratch = _accuracy(study, SCRATCH, condition, share)
    return {
        baseline: against(
            baseline,
            title,
            TEST_ACCURACY,
            values,
            trained,
            study.grain([target], TEST_ACCURACY.key) if target else 0.0,
        )
        for baseline, title, values in (
            (Baseline.TFIDF, "TF-IDF with logistic regression", _of_tfidf(study, share)),
            (Baseline.UNTRAINED, "starting from scratch", of_scratch),
        )
    }


def _of_tfidf(study: Study, share: float) -> Float64:
    """(seeds,) test accuracy of TF-IDF with logistic regression; (1,) with all rows."""
    frame = study.tfidf_transfer
    by_seed = frame[np.isclose(frame["share"], share)].set_index("seed")["test_accuracy"]
    seeds = list(study.seeds) if len(by_seed) > 1 else by_seed.index
    return by_seed.reindex(seeds).to_numpy(np.float64)


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
