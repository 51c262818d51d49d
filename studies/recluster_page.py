"""The page and the pictures of :mod:`studies.recluster`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studies import charts
from textmetric.files import replacing_file
from textmetric.measures import mean_interval
from textmetric.measures.paired import Paired, paired_difference
from textmetric.report.formats import difference, table, with_interval
from textmetric.types import Float64

OURS = "recluster"
OLD, KMEANS, NONE = "old clusters", "k-means on the vectors", "none"
TUNED = "sup_con, of the token vectors"
SHARE = 0.05
"""What is corrected where ways, objectives and parts are compared."""
LEVEL = 0.05
FALL = 0.01
"""Turns that lose more ARI than this are counted."""
MEASURES = {"ari": "ARI", "ami": "AMI"}
STARTS = {"vectors": "k-means on the vectors", "tfidf": "k-means on TF-IDF"}
"""Names of what made the old clusters → in words."""


def holm(p: Sequence[float]) -> Float64:
    """The p values of m tests, adjusted so that the chance of any false rejection is bounded.

    The i-th smallest is multiplied by m − i + 1; none is less than one before it (Holm 1979, "A
    Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6).
    NaN, where there is no test, stays and does not count.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.array(p, dtype=np.float64)
    order = np.argsort(values)
    order = order[~np.isnan(values[order])]
    factors = np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return values


def rows_of(
    corpus: str, start: str, seed: int, job: str, found: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The result of a job as rows of a table.

    They have the columns corpus, start, seed, job, way, measure (ari or ami) and value. The peers
    are ways of the share that was corrected, and trained token vectors a way of the objectives.
    The way of a turn is its number, 0 for the old clusters. How many corrections are violated has
    the way and the measure ``violations``.
    """
    about = {"corpus": corpus, "start": start, "seed": seed}
    about["job"] = "objectives" if job == "tuned" else job.replace("peers-", "share-")
    scores = found["scores"]
    named = dict(enumerate(scores)) if isinstance(scores, list) else scores
    for way, measures in named.items():
        for measure, value in measures.items():
            yield {**about, "way": str(way), "measure": measure, "value": value}
    if "violations" in found:
        value = found["violations"]
        yield {**about, "way": "violations", "measure": "violations", "value": value}


def compared(values: pd.DataFrame, job: str, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Differences of ways, paired by seed, with p values adjusted over all rows.

    Args:
        values: see :func:`rows_of`.
        job: of which.
        pairs: (way, the other one).

    Returns:
        The columns start, corpus, way, other, measure, mean, low, high, p.
    """
    rows = []
    for (start, corpus, measure), cell in values[values["job"] == job].groupby(
        ["start", "corpus", "measure"], sort=False
    ):
        wide = cell.pivot_table(index="seed", columns="way", values="value")
        for one, other in pairs:
            if other not in wide:
                continue
            found: Paired = paired_difference(wide[one], wide[other])
            rows.append(
                {"start": start, "corpus": corpus, "way": one, "other": other, "measure": measure}
                | {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p}
            )
    frame = pd.DataFrame(rows)
    frame["p"] = holm(frame["p"].tolist())
    return frame


def write(out: Path, values: pd.DataFrame) -> None:
    """Write recluster-study.md and its pictures into the folder ``out``.

    Args:
        out: the folder.
        values: see :func:`rows_of`.
    """
    titles = {
        title: title.partition(",")[0].removesuffix(".gz").removesuffix(".csv")
        for title in dict.fromkeys(values["corpus"])
    }
    same = (values["start"] == "vectors") & (values["way"] == KMEANS)  # those are the old clusters
    values = values[~same].assign(corpus=values["corpus"].map(titles))
    violations = values.loc[values["way"] == "violations", "value"]
    values = values[values["way"] != "violations"]
    text = [
        "# Clusters that learn from corrections: the study",
        "",
        "Written by `python -m studies.recluster`. A simulated user corrects texts by their "
        "labels; ARI and AMI on texts that nobody corrected. Means over "
        f"{values['seed'].nunique()} seeds, each with its own old clusters and its own "
        "corrected texts, ± half of the 95 % interval: it covers other draws on these corpora, not "
        "other corpora. How it works: [recluster.md](recluster.md).",
        "",
        *(f"- {title}" for title in titles),
        "",
        f"Violated corrections in {len(violations)} runs: {int(violations.sum())}.",
        "",
        *_shares(out, values),
        *_turns(out, values),
        *_objectives(values),
        *_parts(values),
    ]
    with replacing_file(out / "recluster-study.md") as path:
        path.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def _shares(out: Path, values: pd.DataFrame) -> list[str]:
    """What is corrected at once."""
    mine = values[values["job"].str.startswith("share-")]
    mine = mine.assign(percent=mine["job"].str.removeprefix("share-").astype(float) * 100)
    ways = [OLD, KMEANS, *(way for way in dict.fromkeys(mine["way"]) if way not in (OLD, KMEANS))]
    start = mine["start"].iloc[0]
    _draw(
        out / "recluster-study-shares.png",
        mine[mine["start"] == start],
        "percent",
        "% of the texts corrected",
    )
    text = [
        "## A share is corrected",
        "",
        f"The picture is of the old clusters by {STARTS[start]}. The peers do not look at the old "
        "clusters, so that their figures are the same for both.",
        "",
        "![ARI by the share of texts that is corrected](recluster-study-shares.png)",
        "",
    ]
    for (name, percent), cell in mine.groupby(["start", "percent"], sort=False):
        head = f"{percent:.0f} % corrected, old: {STARTS[str(name)]}"
        text += [_means(cell, ways, head), ""]
    job = f"share-{SHARE:g}"
    found = compared(values, job, [(OURS, way) for way in ways if way != OURS])
    text += [
        f"**{OURS} − the other way, {SHARE:.0%} corrected.** Bold: the p value is below {LEVEL} "
        f"after Holm's adjustment over the {len(found)} comparisons.",
        "",
        *_differences(found),
        *(f"- {line}" for line in _counts(found)),
        "",
    ]
    least = min(mine["percent"])
    found = compared(values, f"share-{least / 100:g}", [(OURS, OLD), (OURS, KMEANS)])
    below = found[(found["mean"] < 0) & (found["p"] < LEVEL)]
    text += [
        f"With {least:.0f} % corrected, {OURS} is below the old clusters or {KMEANS} in "
        f"{len(below)} of {len(found)} comparisons (p below {LEVEL}, Holm); the smallest mean "
        f"difference is {found['mean'].min():+.3f}.",
        "",
    ]
    return text


def _turns(out: Path, values: pd.DataFrame) -> list[str]:
    """Turns of one hundredth."""
    mine = values[values["job"].str.startswith("turns-") & (values["measure"] == "ari")]
    mine = mine.assign(turn=mine["way"].astype(int), way=mine["job"].str.removeprefix("turns-"))
    last = int(mine["turn"].max())
    first = mine["start"].iloc[0]
    _draw(
        out / "recluster-study-turns.png",
        mine[(mine["start"] == first) & (mine["turn"] > 0)],
        "turn",
        "turn, of 1 % of the texts each",
    )
    rows: dict[str, list[list[str]]] = {}
    gains: dict[str, list[str]] = {}
    steps = []
    for (start, corpus), part in mine.groupby(["start", "corpus"], sort=False):
        wide = part.pivot_table(index="seed", columns=["way", "turn"], values="value")
        for how in ("ask", "random"):
            turns = wide[how].to_numpy()  # seeds x turns
            means = [f"{value:.3f}" for value in turns.mean(axis=0)]
            rows.setdefault(str(start), []).append([str(corpus), how, *means])
            steps.append(np.diff(turns, axis=1))
        found = paired_difference(wide["ask", last // 2], wide["random", last])
        said = difference((found.mean, found.low, found.high))
        gains.setdefault(str(corpus), []).append(said)
    starts = [f"old: {STARTS[start]}" for start in rows]
    return [
        "## In turns",
        "",
        "Each turn corrects one hundredth of the texts: those that are asked for, or random ones. "
        "A fifth of the texts is never corrected, and ARI is measured there. The first turn is of "
        "random texts in both; turn 0 is the old clusters. The picture is of those by "
        f"{STARTS[first]}.",
        "",
        "![ARI by turn](recluster-study-turns.png)",
        "",
        *(
            line
            for start, cells in rows.items()
            for line in (
                table([f"old: {STARTS[start]}", "corrected", *map(str, range(last + 1))], cells),
                "",
            )
        ),
        "The largest fall from one turn to the next is "
        f"{max(0.0, *(-float(each.mean(axis=0).min()) for each in steps)):.3f} in the mean ARI, "
        f"and {max(0.0, *(-float(each.min()) for each in steps)):.3f} in a single run; "
        f"{sum(int((each < -FALL).sum()) for each in steps)} of "
        f"{sum(each.size for each in steps)} turns lose more than {FALL}.",
        "",
        f"Asking for half as many: ARI after {last // 2} turns that ask, − after {last} turns of "
        "random texts (95 % interval):",
        "",
        table(["corpus", *starts], [[corpus, *said] for corpus, said in gains.items()]),
        "",
    ]


def _objectives(values: pd.DataFrame) -> list[str]:
    """What trains the projection."""
    mine = values[values["job"] == "objectives"]
    ways = list(dict.fromkeys(mine["way"]))
    classification, *metric = (way for way in ways if way not in (NONE, TUNED))
    pairs = [(way, classification) for way in metric]
    pairs += [(way, NONE) for way in (classification, *metric)] + [(TUNED, "sup_con")]
    found = compared(values, "objectives", pairs)
    return [
        "## Classification or metric learning?",
        "",
        f"{SHARE:.0%} corrected, old clusters by k-means on the vectors. A linear projection of "
        "the vectors is trained on the corrected texts before all are clustered. sup_con has its "
        "usual learning rate; cross-validation chooses that of the others. *none* trains none. In "
        "the last row the token vectors are trained in place of a projection. Bold as above, "
        f"over {len(found)} comparisons.",
        "",
        _means(mine, ways, "trained by"),
        "",
        *_differences(found),
    ]


def _parts(values: pd.DataFrame) -> list[str]:
    """One part of the method left out."""
    mine = values[values["job"] == "parts"]
    ways = list(dict.fromkeys(mine["way"]))
    found = compared(values, "parts", [(OURS, way) for way in ways if way != OURS])
    return [
        "## What each part adds",
        "",
        f"{SHARE:.0%} corrected, old clusters by k-means on the vectors, one part of the method "
        f"left out. Bold as above, over {len(found)} comparisons.",
        "",
        _means(mine, ways, "left out"),
        "",
        *_differences(found),
    ]


def _means(values: pd.DataFrame, ways: Sequence[str], head: str) -> str:
    """A table of the ways by the corpora, ARI / AMI."""
    corpora = list(dict.fromkeys(values["corpus"]))
    cells = {
        key: with_interval(mean_interval(cell["value"]))
        for key, cell in values.groupby(["way", "corpus", "measure"])
    }
    rows = [
        [way, *(" / ".join(cells[way, each, measure] for measure in MEASURES) for each in corpora)]
        for way in ways
        if (way, corpora[0], "ari") in cells
    ]
    return table([f"{head}: ARI / AMI", *corpora], rows)


def _differences(found: pd.DataFrame) -> list[str]:
    """A table for each start and measure: pairs of ways by the corpora."""
    corpora = list(dict.fromkeys(found["corpus"]))
    text = []
    for (start, measure), cell in found.groupby(["start", "measure"], sort=False):
        rows = [
            [
                f"{way} − {other}",
                *(_difference(part[part["corpus"] == corpus].iloc[0]) for corpus in corpora),
            ]
            for (way, other), part in cell.groupby(["way", "other"], sort=False)
        ]
        head = f"{MEASURES[str(measure)]}, old: {STARTS[str(start)]}"
        text += [table([head, *corpora], rows), ""]
    return text


def _difference(row: pd.Series) -> str:
    said = difference((row["mean"], row["low"], row["high"]))
    return f"**{said}**" if row["p"] < LEVEL else said


def _counts(found: pd.DataFrame) -> list[str]:
    """On how many corpora each way is beaten, in ARI and in AMI."""
    above = found.assign(above=(found["mean"] > 0) & (found["p"] < LEVEL))
    lines = []
    for other, part in above.groupby("other", sort=False):
        said = []
        for start, cell in part.groupby("start", sort=False):
            ari, ami = (int(cell.loc[cell["measure"] == each, "above"].sum()) for each in MEASURES)
            many = cell["corpus"].nunique()
            said.append(f"{ari} of {many} in ARI and {ami} in AMI (old: {STARTS[str(start)]})")
        lines.append(f"above {other} on {', '.join(said)}")
    return lines


def _draw(path: Path, values: pd.DataFrame, x: str, label: str) -> None:
    """Lines of ARI, a panel a corpus, a line a way."""
    corpora = {
        name: "ARI, " + name.replace("\\", "")  # no Markdown
        for name in dict.fromkeys(values["corpus"])
    }
    rows = []
    for (way, corpus, place), cell in values[values["measure"] == "ari"].groupby(
        ["way", "corpus", x], sort=False
    ):
        middle, low, high = mean_interval(cell["value"])
        rows.append(
            {"line": way, "measure": corpus, x: place, "mean": middle, "low": low, "high": high}
        )
    charts.lines(
        path, pd.DataFrame(rows), corpora, x=x, label=label, one_scale=True, even=x == "turn",
        across=3,
    )  # fmt: skip
