"""reports/results.md and its figures: what the last run found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from textmetric.files import read_arrays, replacing_folder
from textmetric.report.content import build_document
from textmetric.report.figures import (
    draw,
    finetune_curves,
    label_dots,
    label_efficiency,
    learning_curves,
    measure_dots,
    rows_histogram,
    tsne_panels,
)
from textmetric.report.findings import RARE_PICTURES, rare_split
from textmetric.report.markdown import write_markdown
from textmetric.report.names import HEADLINES, side_by_side
from textmetric.report.rows import label_values
from textmetric.report.study import Study


def write_results(root: str | os.PathLike[str], study: Study, *, progress: bool = False) -> None:
    """Write ``reports/results.md`` and ``reports/figures/`` from what the stages left in ``root``.

    Args:
        root: the folder that holds ``data/`` and gets ``reports/``.
        study: what :func:`textmetric.report.study.read_study` read from ``root``.
        progress: show a progress bar.

    Raises:
        UserError: a file is missing or damaged.
    """
    root = Path(root)
    with replacing_folder(root / "reports" / "figures") as figures:
        rare = rare_split(study)
        pictures: list[tuple[Any, ...]] = [
            *(
                (measure_dots, figures / f"measures-{role}.png", _headlines(study, role))
                for role in study.roles
            ),
            (finetune_curves, figures / "transfer.png", study.transfers),
            (label_efficiency, figures / "label-efficiency.png", study.transfers),
            *(
                (learning_curves, figures / f"curves-{split}.png", by_arm)
                for split, by_arm in study.curves.items()
            ),
        ]
        if rare is not None:
            pictures += _rarest(study, rare, root / "data" / "tsne" / f"{rare}.npz", figures)
        draw(pictures, progress=progress)
    write_markdown(root / "reports" / "results.md", build_document(study), folder="reports")


def _headlines(study: Study, role: str) -> pd.DataFrame:
    """split, arm, measure, mean, low, high of the headline measures; none of what a split lacks."""
    return pd.DataFrame(
        [
            [split, arm, measure.key, *study.records[split][arm]["interval"][measure.key]]
            for split, entry in study.splits.items()
            if entry.role == role
            for arm in study.arms
            for measure in HEADLINES
            if measure.key in study.records[split][arm]["interval"]
        ],
        columns=["split", "arm", "measure", "mean", "low", "high"],
    ).astype({"mean": float, "low": float, "high": float})


def _rarest(study: Study, split: str, maps: Path, figures: Path) -> list[tuple[Any, ...]]:
    """The pictures 8-2 and its parts."""
    record = study.arm_record(split)
    arrays = read_arrays(maps)
    by_arm = dict(zip(study.arms, arrays["scarce_coordinates"], strict=True))
    panels = {arm: by_arm[arm] for arm in side_by_side(study.arms)}
    return [
        (rows_histogram, figures / "8-2-histogram.png", record["train_rows"], record["scarce"]),
        *(
            (
                label_dots,
                figures / f"{table}.png",
                label_values(study, split, key, record["scarce"]),
                title,
            )
            for table, (key, title) in RARE_PICTURES.items()
        ),
        (
            tsne_panels,
            figures / "8-2-tsne.png",
            panels,
            arrays["scarce_labels"],
            record["label_names"],
        ),
    ]
