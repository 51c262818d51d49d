"""The t-SNE maps of every split: which rows, which models, and the pictures. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textmetric.files import read_arrays, read_json, replacing_folder, write_arrays
from textmetric.params import Tsne
from textmetric.report.figures import draw, tsne_panels
from textmetric.report.names import side_by_side
from textmetric.tsne.projection import sample_rows, scarce_rows, tsne_arms


def map_splits(
    embeddings: str | os.PathLike[str],
    splits: str | os.PathLike[str],
    out: str | os.PathLike[str],
    pictures: str | os.PathLike[str],
    *,
    cells: Mapping[str, str],
    arms: Sequence[str],
    seeds: Sequence[int],
    settings: Tsne,
    progress: bool = True,
) -> None:
    """Project the test embeddings of every split and arm to the plane, and draw them.

    A stratified sample of the test set with the first ``settings.seeds`` seeds; and, where several
    labels are scarce, all of the rows of these alone with the first seed.

    Args:
        embeddings: see :func:`textmetric.pipeline.measure.measure_arms`.
        splits: the folder of all splits, for the names of their classes.
        out: folder to write; ``<split>.npz`` holds ``coordinates`` (arms, seeds, n, 2), ``rows``
            (n,) of the test set, their ``labels`` (n,), ``seeds``, and of the scarce labels
            ``scarce_coordinates`` (arms, m, 2) and ``scarce_labels`` (m,).
        pictures: folder to write; ``<split>.png`` shows the first seed.
        cells: split → its folder below ``splits``.
        arms: names of the arms.
        seeds: of the models.
        settings: of the maps.
        progress: show a progress bar.

    Raises:
        UserError: a file is missing or damaged.
    """
    seeds = seeds[: settings.seeds]
    sheets = [
        _sheet(Path(embeddings), Path(splits, cell), arms, seeds, settings)
        for cell in cells.values()
    ]
    found = iter(
        tsne_arms(
            [rows for sheet in sheets for rows in (*sheet["sampled"], *sheet["rare"])],
            perplexity=settings.perplexity,
            seed=settings.seed,
            progress=progress,
        )
    )
    drawings = []
    with replacing_folder(out) as folder, replacing_folder(pictures) as drawn:
        for name, sheet in zip(cells, sheets, strict=True):
            coordinates = np.stack([next(found) for _ in sheet["sampled"]])
            coordinates = coordinates.reshape(len(arms), len(seeds), -1, 2)
            write_arrays(
                folder / f"{name}.npz",
                coordinates=coordinates,
                rows=sheet["rows"],
                labels=sheet["labels"],
                seeds=np.array(seeds),
                scarce_coordinates=np.stack([next(found) for _ in sheet["rare"]]),
                scarce_labels=sheet["scarce_labels"],
            )
            panels = {arm: coordinates[arms.index(arm), 0] for arm in side_by_side(arms)}
            named = (sheet["labels"], sheet["about"]["names"], sheet["about"]["scarce"])
            drawings.append((tsne_panels, drawn / f"{name}.png", panels, *named))
        draw(drawings, progress=progress)


def _sheet(
    embeddings: Path, split: Path, arms: Sequence[str], seeds: Sequence[int], settings: Tsne
) -> dict[str, Any]:
    """Of a split: what its labels are, the rows to map, and their embeddings by every model."""
    about = read_json(split / "labels.json")
    models = [
        embeddings / family / split.name / sampler / f"seed-{seed}.npz"
        for family, _, sampler in (arm.partition("_") for arm in arms)
        for seed in seeds
    ]
    labels = read_arrays(models[0])["labels"]
    rows = sample_rows(labels, settings.points, settings.seed, keep=about["scarce"])
    scarce = scarce_rows(labels, about["scarce"])
    scarce = scarce[sample_rows(labels[scarce], settings.points, settings.seed)]
    sampled, rare = [], []
    for number, model in enumerate(models):
        of_test = read_arrays(model)["embeddings"]
        sampled.append(of_test[rows])
        if number % len(seeds) == 0:  # the first seed of an arm
            rare.append(of_test[scarce])
    return {
        "about": about,
        "rows": rows,
        "labels": labels[rows],
        "sampled": sampled,
        "rare": rare,
        "scarce_labels": labels[scarce],
    }
