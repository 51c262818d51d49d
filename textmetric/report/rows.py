"""Rows of the report's tables: labels, statistics over labels, and measures, a column an arm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from textmetric.measures import mean_interval
from textmetric.report import original
from textmetric.report.document import (
    Cell,
    Column,
    Map,
    Picture,
    Table,
    mean_cell,
)
from textmetric.report.names import (
    BY_KEY,
    FAMILIES,
    Measure,
    arm_title,
    sampler,
)
from textmetric.report.study import Record, Study
from textmetric.report.tables import plain

Floats = npt.NDArray[np.float64]

STATISTICS: dict[str, Callable[[Floats], Any]] = {
    "mean": np.mean,
    "standard deviation": lambda values: np.std(values, ddof=1),
    "least": np.min,
    "first quartile": lambda values: np.quantile(values, 0.25),
    "median": np.median,
    "third quartile": lambda values: np.quantile(values, 0.75),
    "largest": np.max,
}
"""How values spread over the labels, in the order of the original's table 7-2."""


Published = Mapping[str, Mapping[str, float]]
"""family → name of a row → the original's value."""


def published_by_label(label_names: Sequence[str]) -> Published:
    """The original's table 7-1: its labels that the run has, and the average."""
    found: dict[str, dict[str, float]] = {}
    for family, values in original.COHESION_BY_LABEL.items():
        by_label = dict(zip(original.AG_NEWS_LABELS, values, strict=True))
        found[family] = {name: by_label[name] for name in label_names if name in by_label}
        found[family]["average"] = original.COHESION_AVERAGE[family]
    return found


def arms_table(
    study: Study, first: str, rows: Sequence[Sequence[Cell]], published: Published | None = None
) -> Table:
    """One column an arm; the original's values, if there are any, beside them."""
    columns = [Column(first), *(Column(arm_title(arm), sampler(arm)) for arm in study.arms)]
    columns += [Column(f"original, {FAMILIES[family]}") for family in published or ()]
    return Table(columns, rows)


def measure_rows(
    study: Study,
    splits: Sequence[str],
    measures: Iterable[Measure],
    published: Published | None = None,
    prefix: str = "",
) -> list[list[Cell]]:
    """A row a measure, averaged over ``splits``; those that no arm has are left out."""
    rows = []
    for measure in measures:
        by_arm = [study.per_seed(splits, arm, measure.key) for arm in study.arms]
        if all(np.isnan(values).all() for values in by_arm):
            continue
        rows.append(
            [
                Cell(f"{prefix}{measure.title}"),
                *(mean_cell(mean_interval(values), values.tolist()) for values in by_arm),
                *(Cell("–") for _ in published or ()),
            ]
        )
    return rows


def _per_class(study: Study, split: str, arm: str, key: str) -> Floats:
    """(seeds, classes) of a measure that every class has."""
    return np.array(study.records[split][arm]["per_class"][key], dtype=np.float64)


def label_rows(study: Study, split: str, key: str, published: Published | None) -> list[list[Cell]]:
    """A row a label with its train rows, and the average over them."""
    record = study.arm_record(split)
    by_arm = [_per_class(study, split, arm, key) for arm in study.arms]
    rows = []
    for label, name in enumerate(record["label_names"]):
        if label in record["unseen"]:
            continue
        title = f"{plain(name)} ({record['train_rows'][label]:,} train rows)"
        rows.append([Cell(title), *(_label_cell(values[:, label]) for values in by_arm)])
        rows[-1] += [_published_cell(values, name) for values in (published or {}).values()]
    rows.append(
        [
            Cell(f"average {BY_KEY[key].title}"),
            *(
                mean_cell(mean_interval(values), values.tolist())
                for values in (study.per_seed([split], arm, key) for arm in study.arms)
            ),
            *(_published_cell(values, "average") for values in (published or {}).values()),
        ]
    )
    return rows


def _label_cell(values: Floats) -> Cell:
    return mean_cell(mean_interval(values), values.tolist())


def _published_cell(values: Mapping[str, float], row: str) -> Cell:
    value = values.get(row)
    return Cell("–") if value is None else Cell(f"{value:.2f}", value)


def statistic_rows(
    study: Study,
    split: str,
    key: str,
    published: Published | None = None,
    labels: Sequence[int] | None = None,
) -> list[list[Cell]]:
    """A row a statistic over ``labels`` (all), taken in each seed and averaged over the seeds."""
    by_arm = []
    for arm in study.arms:
        values = _per_class(study, split, arm, key)
        values = values if labels is None else values[:, list(labels)]
        by_arm.append([seed[~np.isnan(seed)] for seed in values])
    rows = []
    for name, statistic in STATISTICS.items():
        cells = [Cell(name)]
        for seeds in by_arm:
            # a class with one test row has no cohesion, and in a small sample most have one
            found = [float(statistic(seed)) if len(seed) >= 2 else float("nan") for seed in seeds]
            cells.append(mean_cell(mean_interval(found), found))
        cells += [_published_cell(values, name) for values in (published or {}).values()]
        rows.append(cells)
    return rows


def tsne_map(split: str) -> Map:
    """The t-SNE of a split."""
    picture = Picture(f"plots/tsne/{split}.png", f"t-SNE of {split}, a panel an arm")
    return Map(split, picture)


def rows_in_words(record: Record) -> str:
    """How large a split is."""
    counts = record["counts"]
    return (
        f"{counts['train_rows']:,} train rows, {counts['test_rows']:,} test rows "
        f"({counts['empty_rows']:,} without a known token), {len(record['label_names'])} labels"
    )


def scarce_names(record: Record) -> str:
    """The scarce labels of a split, or how many there are."""
    names = [plain(record["label_names"][label]) for label in record["scarce"]]
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} labels"


def scarce_rows(record: Record) -> str:
    """How many train rows the scarce labels of a split have together."""
    rows = sum(record["train_rows"][label] for label in record["scarce"])
    return f"{rows:,} train rows"


def label_values(study: Study, split: str, key: str, labels: Sequence[int]) -> pd.DataFrame:
    """What the pictures of the rare labels show: label, arm, mean, low, high.

    Labels come in the order of their train rows, most first.
    """
    record = study.arm_record(split)
    order = sorted(labels, key=lambda label: (-record["train_rows"][label], label))
    return pd.DataFrame(
        [
            [record["label_names"][label], arm, *mean_interval(values[:, label])]
            for arm in study.arms
            for values in [_per_class(study, split, arm, key)]
            for label in order
        ],
        columns=["label", "arm", "mean", "low", "high"],
    )
