"""The sections of the page of :mod:`studies.hypotheses` on what a step costs and on miners."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from studies import answers
from studies.hypotheses_costs import OF_MINING, PARTS
from studies.hypotheses_jobs import CLASSES, OF_PAIRS, PAIRS
from textmetric.losses import Objective, class_of
from textmetric.losses.mining import Miner
from textmetric.measures import Outcome, Paired, mean_interval, simultaneous_differences
from textmetric.params import Params
from textmetric.report.formats import MISSING, difference, number, plain, table, with_interval

COSTED = (*CLASSES, *PAIRS, "prototypical", "magnet", "inverse_cloze")
"""The last three make batches, clusters or views of their own."""
MINERS = get_args(Miner)
USUAL = "semi_hard"
FACENET = {"normalize": True, "distance": "squared_euclidean"}
SCALES: dict[str, dict[str, Any]] = {
    "distances": {},
    "squared distances of unit vectors": FACENET,
}
"""What the triplets are measured by, and the parameters of the triplet loss that say so."""


def counted(judged: Sequence[Paired]) -> tuple[int, int, int]:
    """How many comparisons the first wins, the second wins, and neither."""
    outcomes = [one.outcome(large_is_good=True) for one in judged]
    first, second = outcomes.count(Outcome.FIRST), outcomes.count(Outcome.SECOND)
    return first, second, len(outcomes) - first - second


def costs_section(costs: pd.DataFrame, params: Params) -> tuple[str, list[str]]:
    """What a step costs: the answer, and the section of the page.

    Args:
        costs: see :func:`.hypotheses_page.page`, as for the other.
        params: the settings.
    """
    micro = medians(costs)
    sizes = list(dict.fromkeys(costs["batch_size"]))
    size = params.train.batch_size if params.train.batch_size in sizes else sizes[0]
    rows = [
        [plain(name), str(each)]
        + [f"{row[part]:,.0f}" for part in ("batches", "prepared", "loss", "rest", "total")]
        + [f"{100 * row['share']:.0f} %", f"{row['mib']:.1f}" if row["mib"] >= 0 else MISSING]
        for each in sizes
        for name in COSTED
        for row in [micro[name, "", each]]
    ]
    mining = [
        [plain(miner), str(each)]
        + [f"{row[part]:,.0f}" for part in ("loss", "definition", "mining")]
        + [f"{100 * row['mining'] / row['definition']:.0f} %"]
        for each in sizes
        for miner in MINERS
        for row in [micro["triplet", miner, each]]
    ]
    at = {name: micro[name, "", size] for name in COSTED}
    quick = [name for name in COSTED if is_compiled(name)]
    of_pairs = [100 * at[name]["share"] for name in PAIRS]
    own = {name: 100 * at[name]["share"] for name in COSTED if name not in (*PAIRS, *CLASSES)}
    mined = [
        100 * row["mining"] / row["definition"]
        for miner in MINERS
        for row in [micro["triplet", miner, size]]
    ]
    most = max(own, key=lambda name: own[name])
    drawing = (
        f"drawing batches of {size} is {_range(of_pairs)} % of a step of {OF_PAIRS}, and "
        f"{100 * at['cross_entropy']['share']:.0f} % of one of cross\\_entropy"
    )
    of_mining = f"mining is {_range(mined)} % of the triplet loss"
    steps = "; ".join(
        f"with batches of {each}, a step of {OF_PAIRS} takes {_slower(micro, each)}"
        for each in dict.fromkeys((size, max(sizes)))
    )
    return answers.comment(
        "Pairs need a costly preparation of data, classification needs none",
        "processor time of a step",
        f"{drawing}; {of_mining}; {steps}",
    ), [
        "## What does the preparation of data cost?",
        "Zhai & Wu 2018 hold that classification needs no sampling of pairs and no mining, which "
        "slow down training on pairs. Measured is processor time, in microseconds a step: medians "
        f"of {costs['round'].nunique()} rounds of about equally many rows, on the first corpus.",
        f"**{drawing[:1].upper()}{drawing[1:]}; {of_mining}.** Own batches, clusters or views are "
        f"up to {own[most]:.0f} % of a step ({plain(most)}). {steps[:1].upper()}{steps[1:]}.",
        "![processor time of the parts of a step, by objective and batch size]"
        "(hypotheses-costs.png)",
        "*batches*: to draw the rows of a batch. *prepared*: what an objective does before an "
        "epoch (the clusters of magnet), shared among its steps, and the altered views of a batch. "
        "*loss*: its value and gradient, mining included. *rest*: encoder and optimiser. *share*: "
        "batches and prepared, of the total. *MiB*: the peak of memory during some steps, above "
        f"what was there before. The losses of {' and '.join(map(plain, quick))} are compiled; the "
        "others go through torch and its autograd, whose calls take most of the time of small "
        "batches. So only objectives of one kind are compared.",
        table(
            ["objective", "batch", "batches", "prepared", "loss", "rest", "total", "share", "MiB"],
            rows,
        ),
        "In compiled code, mining and the rest of the triplet loss are one loop and cannot be "
        "timed apart. So the next table has the compiled loss of each miner, and next to it the "
        "same loss as torch and numpy define it, whose mining is a function of its own: its time, "
        "and its share of the loss with its gradient.",
        table(["miner", "batch", "compiled loss", "loss by torch", "its mining", "share"], mining),
    ]


def _slower(micro: Mapping[tuple[str, str, int], Mapping[str, float]], size: int) -> str:
    """How many times a step of classification one of pairs takes, of losses of one kind."""
    said = []
    for kind, compiled in (("compiled", True), ("by autograd", False)):
        alike = [name for name in (*CLASSES, *PAIRS) if is_compiled(name) == compiled]
        steps = {name: micro[name, "", size]["total"] for name in alike}
        first = next((name for name in CLASSES if name in steps), None)
        ratios = [steps[name] / steps[first] for name in PAIRS if first and name in steps]
        if ratios:
            said.append(f"{_range(ratios, 1)} times that of {plain(str(first))} ({kind})")
    return " and ".join(said)


def is_compiled(name: str) -> bool:
    """Whether an objective has a loss and gradient of its own, without autograd."""
    return class_of(name).loss_and_gradient is not Objective.loss_and_gradient


def medians(costs: pd.DataFrame) -> dict[tuple[str, str, int], dict[str, float]]:
    """Medians over rounds, in microseconds a step.

    Returns:
        By objective, miner ("" for none) and batch size: batches, prepared, loss, mining,
        definition, rest, total, the share of batches and prepared in the total, and mib.
    """
    found = {}
    for key, cell in costs.fillna({"miner": ""}).groupby(["objective", "miner", "batch_size"]):
        name, miner, size = key
        row = {part: 1e6 * float(cell[part].median()) for part in (*PARTS, *OF_MINING)}
        row["prepared"] = row["clusters"] + row["views"]
        row["rest"] = row["step"] - row["loss"] - row["views"]
        row["total"] = row["batches"] + row["clusters"] + row["step"]
        row["share"] = (row["batches"] + row["prepared"]) / row["total"]
        row["mib"] = float(cell["mib"].median())
        found[str(name), str(miner), int(str(size))] = row
    return found


def _range(values: Sequence[float], decimals: int = 0) -> str:
    low, high = (f"{value:.{decimals}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def miners_section(found: pd.DataFrame) -> tuple[str, list[str]]:
    """Which triplets to mine: the answer, and the section of the page."""
    cells = found[found["question"] == "miners"]
    places, pairs, rows = [], [], []
    for (scale, corpus), cell in cells.groupby(["scale", "corpus"], sort=False):
        wide = cell.pivot_table("test", "seed", "miner", dropna=False)
        for miner in MINERS:
            own = cell[cell["miner"] == miner]
            values = wide[miner].dropna() if miner in wide else pd.Series(dtype=float)
            row = [str(scale), plain(str(corpus)), plain(miner)]
            row.append(with_interval(mean_interval(values)))
            row += [number(share) for share in _ends(own)]
            row.append(str(int(own["error"].notna().sum())))
            rows.append(row)
            if miner != USUAL:
                both = wide.reindex(columns=[miner, USUAL]).dropna()
                pairs.append((both[miner].to_numpy(), both[USUAL].to_numpy()))
                places.append((len(rows) - 1, miner))
    judged = simultaneous_differences(pairs)
    changes = [""] * len(rows)
    for (place, _), one in zip(places, judged, strict=True):
        changes[place] = difference([one.mean, one.low, one.high])
    said = []
    for miner in MINERS:
        if miner != USUAL:
            of_miner = [one for (_, name), one in zip(places, judged, strict=True) if name == miner]
            better, worse, _ = counted(of_miner)
            said.append(f"{plain(miner)} {better} / {worse} of {len(of_miner)}")
    each = len(cells) // len(MINERS)
    failed = {
        miner: int(cells.loc[cells["miner"] == miner, "error"].notna().sum()) for miner in MINERS
    }
    collapses = [f"{plain(miner)} {count} of {each}" for miner, count in failed.items() if count]
    sentence = (
        f"better / worse than {plain(USUAL)}: {', '.join(said)}; trainings that collapsed: "
        f"{', '.join(collapses) or f'none of {len(cells)}'}"
    )
    return answers.comment(
        "Which triplets are mined decides: the hardest collapse, semi-hard ones do not",
        "MAP@R of test texts",
        sentence,
    ), [
        "## Which triplets should be mined?",
        "Schroff et al. 2015 (arXiv 1503.03832) found that the hardest negatives can collapse the "
        "model and took semi-hard ones; Hermans et al. 2017 (arXiv 1703.07737) found the hardest "
        "positives and negatives of a batch best; Xuan et al. 2020 (arXiv 1904.04370) take easy "
        "positives. The miners here: *all* triplets; *random*: a random negative for each pair; "
        "*easy*: the nearest positive and the farthest negative (Xuan et al. take hard negatives); "
        "*semi\\_hard*: the nearest negative that is farther than the positive, within the margin, "
        "else a random one; *hard*: the farthest positive and the nearest negative. Triplets are "
        f"measured by {' or by '.join(SCALES)}, as Schroff et al. do.",
        f"**{sentence[:1].upper()}{sentence[1:]}.**",
        "Means are of the trainings that did not collapse. Differences are paired by seed, over "
        f"those where neither collapsed, and corrected for the {len(pairs)} comparisons. *Active*: "
        "the share of mined triplets with a loss, in the first and in the last epoch.",
        table(
            ["measured by", "corpus", "miner", "MAP@R of test", "active, first", "active, last",
             "collapsed", f"minus {plain(USUAL)}"],
            [[*row, change] for row, change in zip(rows, changes, strict=True)],
        ),
        "Next are the triplets of one batch, the first of its training, on the first corpus. A dot "
        "is a triplet; dark are those that the miner picks and that have a loss. To the right is "
        "the share of easy, semi-hard and hard ones among all that the miner picks, by epoch.",
        "![triplets of a batch by the distances of anchor to positive and negative, for each miner]"
        "(hypotheses-triplets.png)",
    ]  # fmt: skip


def _ends(trained: pd.DataFrame) -> tuple[float, float]:
    """The mean share of active triplets in the first and the last epoch, without collapses."""
    whole = list(trained.loc[trained["error"].isna(), "active"])
    if not whole:
        return math.nan, math.nan
    first, *_, last = np.array([(*each, each[-1]) for each in whole], np.float64).mean(axis=0)
    return float(first), float(last)
