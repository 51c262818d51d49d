"""reports/results.md: what the last run found, split by split, with intervals and pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from textmetric.errors import UserError
from textmetric.figures import finetune_curves, learning_curves, measure_dots
from textmetric.files import read_json, replacing_file, replacing_folder
from textmetric.measures import mean_interval
from textmetric.report.names import (
    FAMILIES,
    HEADLINES,
    MEASURES,
    SCARCE_MEASURES,
    TUNINGS,
    Measure,
    arm_title,
    pairs,
    sampler,
)
from textmetric.report.tables import difference, table, with_interval

FEW_CLASSES = 20
"""Up to so many classes every class has a row of its own; above it, their statistics do."""
INITS = ("cls", "metric", "scratch")

Record = dict[str, Any]


def write_results(
    root: str | os.PathLike[str],
    *,
    splits: Mapping[str, str],
    arms: Sequence[str],
) -> None:
    """Write ``reports/results.md`` and ``reports/figures/`` from what the stages left in ``root``.

    Args:
        root: the folder that holds ``data/`` and gets ``reports/``.
        splits: name of every split → its role, in the order to report.
        arms: names of the arms, in the order to report.

    Raises:
        UserError: a file is missing or damaged.
    """
    root = Path(root)
    corpora = {
        role: read_json(root / "data" / "raw" / role / "summary.json")
        for role in dict.fromkeys(splits.values())
    }
    records = {
        split: {arm: read_json(root / "data" / "measures" / split / f"{arm}.json") for arm in arms}
        for split in splits
    }
    objectives = {
        family: read_json(root / "data" / "objectives" / f"{family}.json")
        for family in ("classification", "metric")
    }
    curves = {
        split: {arm: _read_csv(root / "data" / "curves" / split / f"{arm}.csv") for arm in arms}
        for split in splits
    }
    transfers = {init: _read_csv(root / "data" / "finetune" / f"{init}.csv") for init in INITS}
    seeds = next(iter(next(iter(records.values())).values()))["seeds"]
    with replacing_folder(root / "reports" / "figures") as figures:
        measure_dots(figures / "measures.png", _long(records))
        finetune_curves(figures / "transfer.png", transfers)
        for split, by_arm in curves.items():
            learning_curves(figures / f"curves-{split}.png", by_arm)
    text = "\n\n".join(
        [
            "# Results",
            _about(corpora, objectives, seeds),
            _overview(records),
            *(_split(split, splits[split], by_arm) for split, by_arm in records.items()),
            _transfer(transfers),
            "## Costs\n\n[costs.md](costs.md) has the seconds and the memory of every arm. They "
            "are kept apart, since they alone differ from run to run.",
        ]
    )
    with replacing_file(root / "reports" / "results.md") as path:
        path.write_text(text + "\n", encoding="utf-8")


def _about(
    corpora: Mapping[str, Record], objectives: Mapping[str, Record], seeds: Sequence[int]
) -> str:
    rows = [
        [
            role,
            str(summary["name"]),
            *(
                f"{summary[key]:,}"
                for key in ("classes", "train_rows", "validation_rows", "test_rows", "leaked_rows")
            ),
        ]
        for role, summary in corpora.items()
    ]
    head = ["role", "corpus", "classes", "train", "validation", "test", "leaked"]
    sentences = [
        f"Two objectives train the same encoder: {_objective(objectives['classification'])} "
        f"(classification) and {_objective(objectives['metric'])} (metric learning).",
        _seeds(seeds),
    ]
    return "\n\n".join(
        [
            " ".join(sentences),
            table(head, rows),
            "*leaked*: texts of the test part that also stood in train and were dropped there.",
        ]
    )


def _objective(description: Record) -> str:
    values = ", ".join(f"{key} {value}" for key, value in description["parameters"].items())
    return f"`{description['name']}`" + (f" with {values}" if values else "")


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return (
            "**One seed only: no intervals can be given, and no difference below means "
            "anything yet.**"
        )
    return (
        f"Every number is the mean over {len(seeds)} seeds, ± half of its 95 % interval "
        "(Student t). Differences are paired: seed by seed, same sampler."
    )


def _overview(records: Mapping[str, Mapping[str, Record]]) -> str:
    names = ", ".join(measure.name for measure in HEADLINES)
    return (
        "## Overview\n\n"
        "MAP@R is the headline. Cohesion alone misleads: a collapsed embedding has the highest of "
        "all, so read it with the between-class cosine beside it.\n\n"
        f"![{names} of every arm and split, with 95 % intervals](figures/measures.png)"
    )


def _split(split: str, role: str, by_arm: Mapping[str, Record]) -> str:
    first = next(iter(by_arm.values()))
    names, scarce, counts = first["label_names"], first["scarce"], first["counts"]
    parts = [
        f"## {split}",
        f"Role {role}: {counts['train_rows']:,} train rows, {counts['test_rows']:,} test rows "
        f"({counts['empty_rows']:,} without a known token), {len(names)} classes."
        + (f" Scarce: {_scarce_names(first)}." if scarce else ""),
        "Each row is an arm, objective and sampler; an arrow says whether large or small is good.",
        _measures(by_arm, MEASURES),
        _differences(by_arm, MEASURES),
    ]
    if scarce:
        parts += [
            "### Scarce labels",
            "The same over the scarce labels alone: their rows are the queries, all rows are "
            "there to be found.",
            _measures(by_arm, SCARCE_MEASURES),
            _differences(by_arm, SCARCE_MEASURES),
        ]
    parts += [
        "### Cohesion by label",
        _cohesion_of_few(by_arm) if len(names) <= FEW_CLASSES else _cohesion_of_many(by_arm),
        "### Pictures",
        f"t-SNE of the test set ({split}), scarce labels in red: places near each other are near "
        "in the embedding; distances between far groups mean little.",
        f"![t-SNE of {split}](../plots/tsne/{split}.png)",
        f"![learning curves of {split}](figures/curves-{split}.png)",
    ]
    return "\n\n".join(parts)


def _scarce_names(record: Record) -> str:
    names = [
        f"{record['label_names'][label]} ({record['train_rows'][label]:,} train rows)"
        for label in record["scarce"]
    ]
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} labels, the rarest by train rows"


def _measures(by_arm: Mapping[str, Record], measures: Sequence[Measure]) -> str:
    shown = _shown(by_arm, measures)
    rows = [
        [
            arm_title(arm),
            *(with_interval(record["interval"].get(measure.key)) for measure in shown),
        ]
        for arm, record in by_arm.items()
    ]
    return table(["arm", *(measure.title for measure in shown)], rows)


def _differences(by_arm: Mapping[str, Record], measures: Sequence[Measure]) -> str:
    """Metric learning minus classification, seed by seed, for every sampler that both have."""
    compared = pairs(by_arm)
    if not compared:
        return "There is no pair of arms that differ in the objective alone."
    shown = [
        measure
        for measure in _shown(by_arm, measures)
        if all(measure.key in record["per_seed"] for record in by_arm.values())
    ]
    rows = [
        [
            measure.title,
            *(
                difference(
                    mean_interval(
                        _per_seed(by_arm[one], measure.key) - _per_seed(by_arm[other], measure.key)
                    )
                )
                for one, other in compared
            ),
        ]
        for measure in shown
    ]
    head = ["metric learning − classification", *(f"{sampler(one)}" for one, _ in compared)]
    return table(head, rows)


def _shown(by_arm: Mapping[str, Record], measures: Sequence[Measure]) -> list[Measure]:
    return [
        measure
        for measure in measures
        if any(
            record["interval"].get(measure.key, [None])[0] is not None for record in by_arm.values()
        )
    ]


def _per_seed(record: Record, key: str) -> npt.NDArray[np.float64]:
    return np.array(record["per_seed"][key], dtype=np.float64)  # null becomes NaN


def _cohesion(record: Record) -> npt.NDArray[np.float64]:
    """(seeds, classes) cohesion."""
    return np.array(record["per_class"]["cohesion"], dtype=np.float64)


def _cohesion_of_few(by_arm: Mapping[str, Record]) -> str:
    first = next(iter(by_arm.values()))
    by_label = {arm: _cohesion(record) for arm, record in by_arm.items()}
    rows = [
        [
            f"**{name}** (scarce)" if label in first["scarce"] else name,
            f"{first['train_rows'][label]:,}",
            *(with_interval(mean_interval(values[:, label])) for values in by_label.values()),
        ]
        for label, name in enumerate(first["label_names"])
    ]
    average = [with_interval(record["interval"]["cohesion"]) for record in by_arm.values()]
    rows.append(["average", f"{sum(first['train_rows']):,}", *average])
    return table(["label", "train rows", *map(arm_title, by_arm)], rows)


def _cohesion_of_many(by_arm: Mapping[str, Record]) -> str:
    statistics: dict[str, Callable[[npt.NDArray[np.float64]], Any]] = {
        "mean": np.mean,
        "std": lambda values: np.std(values, ddof=1),
        "min": np.min,
        "first quartile": lambda values: np.quantile(values, 0.25),
        "median": np.median,
        "third quartile": lambda values: np.quantile(values, 0.75),
        "max": np.max,
    }
    rows = []
    for arm, record in by_arm.items():
        seeds = [values[~np.isnan(values)] for values in _cohesion(record)]
        rows.append(
            [
                arm_title(arm),
                *(
                    with_interval(mean_interval([statistic(values) for values in seeds]))
                    for statistic in statistics.values()
                ),
            ]
        )
    return table(["arm", *statistics], rows)


def _transfer(transfers: Mapping[str, pd.DataFrame]) -> str:
    rows = []
    for init, frame in transfers.items():
        cells = []
        for tuning in TUNINGS:
            values = frame.loc[frame["tuning"] == tuning, "test_accuracy"].dropna()
            cells.append(with_interval(mean_interval(values.to_numpy())))
        rows.append([FAMILIES[init], *cells])
    return "\n\n".join(
        [
            "## Transfer",
            "Embeddings trained on the source start a classifier of the target: test accuracy "
            "after the last epoch, with the encoder frozen and fine-tuned.",
            table(["initialisation", *TUNINGS.values()], rows),
            "![accuracy and loss on the target's validation part by epoch](figures/transfer.png)",
        ]
    )


def _long(records: Mapping[str, Mapping[str, Record]]) -> pd.DataFrame:
    """split, arm, measure, mean, low, high of the headline measures."""
    return pd.DataFrame(
        [
            [split, arm, measure.key, *record["interval"][measure.key]]
            for split, by_arm in records.items()
            for arm, record in by_arm.items()
            for measure in HEADLINES
        ],
        columns=["split", "arm", "measure", "mean", "low", "high"],
    ).astype({"mean": float, "low": float, "high": float})


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): write it again (dvc repro)") from None
