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
from textmetric.report.tables import difference, plain, table, with_interval

FEW_CLASSES = 20
"""Up to so many classes every class has a row of its own; above it, their statistics do."""
INITS = ("cls", "metric", "scratch")

Record = dict[str, Any]
_RECORD_KEYS = (
    "seeds",
    "label_names",
    "train_rows",
    "scarce",
    "counts",
    "per_seed",
    "interval",
    "per_class",
)


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
    records = {split: _records(root / "data" / "measures" / split, arms) for split in splits}
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
        for role in corpora:
            of_role = {split: records[split] for split in splits if splits[split] == role}
            measure_dots(figures / f"measures-{role}.png", _long(of_role))
        finetune_curves(figures / "transfer.png", transfers)
        for split, by_arm in curves.items():
            learning_curves(figures / f"curves-{split}.png", by_arm)
    text = "\n\n".join(
        [
            "# Results",
            _about(corpora, objectives, seeds),
            _overview(records, list(corpora)),
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
            plain(str(summary["name"])),
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


def _overview(records: Mapping[str, Mapping[str, Record]], roles: Sequence[str]) -> str:
    headline = MEASURES[0]
    rows = [
        [plain(split), *(_mean(record, headline) for record in by_arm.values())]
        for split, by_arm in records.items()
    ]
    arms = list(next(iter(records.values())))
    names = ", ".join(measure.name for measure in HEADLINES)
    return "\n\n".join(
        [
            "## Overview",
            f"{headline.name} is the headline: one row a split, one column an arm.",
            table([f"split, {headline.title}", *map(arm_title, arms)], rows),
            "Cohesion alone misleads: a collapsed embedding has the highest of all, so read it "
            "with the between-class cosine beside it. The pictures show the means and their 95 % "
            "intervals, on a scale of its own for each corpus.",
            *(
                f"![{names} of the splits of the {role}, by arm](figures/measures-{role}.png)"
                for role in roles
            ),
        ]
    )


def _mean(record: Record, measure: Measure) -> str:
    return with_interval(record["interval"].get(measure.key))


def _split(split: str, role: str, by_arm: Mapping[str, Record]) -> str:
    first = next(iter(by_arm.values()))
    names, scarce, counts = first["label_names"], first["scarce"], first["counts"]
    parts = [
        f"## {plain(split)}",
        f"Role {role}: {counts['train_rows']:,} train rows, {counts['test_rows']:,} test rows "
        f"({counts['empty_rows']:,} without a known token), {len(names)} classes."
        + (f" Scarce: {_scarce_names(first)}." if scarce else ""),
        "One row a measure, one column an arm (objective, sampler); an arrow says whether large or "
        "small is good.",
        _measures(by_arm, MEASURES),
        "Metric learning minus classification under the same sampler: the mean of the paired "
        "differences and its 95 % interval. With ↑ above zero, and with ↓ below, metric learning "
        "has the better value.",
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
        *_cohesion_by_label(by_arm),
        "### Pictures",
        "t-SNE of a sample of the test set, embedded by the first seed's models"
        + (", scarce labels in red" if scarce else "")
        + ": dots near each other are near in the embedding; distances between far groups mean "
        "little.",
        f"![t-SNE of {plain(split)}, a panel an arm](../plots/tsne/{split}.png)",
        "Training by epoch: means over seeds, 95 % intervals as bands; losses of different "
        "objectives cannot be compared.",
        f"![learning curves of {plain(split)}](figures/curves-{split}.png)",
    ]
    return "\n\n".join(parts)


def _scarce_names(record: Record) -> str:
    names = [
        f"{plain(record['label_names'][label])} ({record['train_rows'][label]:,} train rows)"
        for label in record["scarce"]
    ]
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} labels, the rarest by train rows"


def _measures(by_arm: Mapping[str, Record], measures: Sequence[Measure]) -> str:
    shown = _shown(by_arm, measures)
    rows = [
        [measure.title, *(_mean(record, measure) for record in by_arm.values())]
        for measure in shown
    ]
    return table(["measure", *map(arm_title, by_arm)], rows)


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


def _cohesion_by_label(by_arm: Mapping[str, Record]) -> tuple[str, str]:
    """A reading guide and the table: by name where labels are few, else their statistics."""
    if len(next(iter(by_arm.values()))["label_names"]) <= FEW_CLASSES:
        return (
            "Mean cosine of two test rows of a label: large is good where the between-class "
            "cosine above is small.",
            _cohesion_of_few(by_arm),
        )
    return (
        "How the cohesion spreads over the classes: each statistic is taken over all classes of a "
        "seed, then averaged over the seeds.",
        _cohesion_of_many(by_arm),
    )


def _cohesion_of_few(by_arm: Mapping[str, Record]) -> str:
    first = next(iter(by_arm.values()))
    by_label = {arm: _cohesion(record) for arm, record in by_arm.items()}
    rows = [
        [
            f"**{plain(name)}** (scarce)" if label in first["scarce"] else plain(name),
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
        # a class with one test row has no cohesion, and in a small sample most have one
        enough = min(map(len, seeds)) >= 2
        cells = [
            with_interval(
                mean_interval([statistic(values) for values in seeds]) if enough else None
            )
            for statistic in statistics.values()
        ]
        rows.append([arm_title(arm), *cells])
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


def _records(folder: Path, arms: Sequence[str]) -> dict[str, Record]:
    """What stage evaluate wrote of every arm: complete, and of the same seeds."""
    records = {arm: read_json(folder / f"{arm}.json") for arm in arms}
    for arm, record in records.items():
        path = folder / f"{arm}.json"
        for key in _RECORD_KEYS:
            if key not in record:
                raise UserError(f"{path} lacks {key!r}: run stage evaluate again (dvc repro)")
        if record["seeds"] != records[arms[0]]["seeds"]:
            raise UserError(
                f"{path} has the seeds {record['seeds']}, but {arms[0]} has "
                f"{records[arms[0]]['seeds']}, expected the same for paired differences: run "
                "stage evaluate again (dvc repro)"
            )
    return records


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): write it again (dvc repro)") from None
