"""Project the test embeddings of a family to the plane by t-SNE. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textmetric.files import read_arrays, read_json, replacing_folder, write_arrays
from textmetric.grid import Arm, Family, Layout, Split, Training, moved
from textmetric.params import Tsne
from textmetric.tsne import sample_rows, scarce_rows, tsne_each
from textmetric.types import Float32, Int32, Int64


def project_splits(
    layout: Layout,
    family: Family,
    *,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    seeds: Sequence[int],
    settings: Tsne,
    progress: bool = True,
) -> None:
    """Project the test embeddings of every split and arm of a family.

    A map shows a stratified sample of the test part, for the first ``settings.seeds`` seeds. If
    several labels are scarce, a second one shows all rows of these labels, for the first seed. The
    sample depends on the labels alone, so it is the same for both families.

    A file holds ``coordinates`` (arms, seeds, n, 2), ``rows`` (n,) of the test part, their
    ``labels`` (n,), the names of the ``arms``, the ``seeds``, and of the scarce labels
    ``scarce_coordinates`` (arms, m, 2) and ``scarce_labels`` (m,).

    Args:
        layout: where everything is.
        family: of the arms.
        splits: of the study.
        arms: of the family; with none the folder stays empty.
        seeds: of the models.
        settings: of the maps.
        progress: show a progress bar.

    Raises:
        UserError: a file is missing or damaged.
    """
    shown = seeds[: settings.seeds]
    out = layout.maps(family)
    samples = [_sample(layout, split, arms, shown, settings) for split in splits if arms]
    found = iter(
        tsne_each(
            [rows for sample in samples for rows in (*sample.embeddings, *sample.of_scarce)],
            perplexity=settings.perplexity,
            seed=settings.seed,
            label=f"t-SNE {family.short}",
            progress=progress,
        )
    )
    with replacing_folder(out) as folder:
        for split, sample in zip(splits, samples, strict=False):
            coordinates = np.stack([next(found) for _ in sample.embeddings])
            write_arrays(
                moved(layout.map(family, split), out, folder),
                coordinates=coordinates.reshape(len(arms), len(shown), -1, 2),
                rows=sample.rows,
                labels=sample.labels,
                arms=np.array([arm.name for arm in arms]),
                seeds=np.array(shown),
                scarce_coordinates=np.stack([next(found) for _ in sample.of_scarce]),
                scarce_labels=sample.scarce_labels,
            )


@dataclass(frozen=True)
class _Sample:
    """The rows of a split to project.

    Attributes:
        rows: (n,) of the test part.
        labels: (n,) of these rows.
        embeddings: an (n, dim) array for each arm and seed.
        scarce_labels: (m,) of the rows of scarce labels.
        of_scarce: an (m, dim) array for each arm, of its first seed.
    """

    rows: Int64
    labels: Int32
    embeddings: list[Float32]
    scarce_labels: Int32
    of_scarce: list[Float32]


def _sample(
    layout: Layout, split: Split, arms: Sequence[Arm], seeds: Sequence[int], settings: Tsne
) -> _Sample:
    scarce_ids = read_json(layout.split(split) / "labels.json")["scarce"]
    labels = read_arrays(layout.embedding(Training(arms[0], split, seeds[0])))["labels"]
    rows = sample_rows(labels, settings.points, settings.seed, keep=scarce_ids)
    scarce = scarce_rows(labels, scarce_ids)
    scarce = scarce[sample_rows(labels[scarce], settings.points, settings.seed)]
    sampled, of_scarce = [], []
    for arm in arms:
        for seed in seeds:
            of_test = read_arrays(layout.embedding(Training(arm, split, seed)))["embeddings"]
            sampled.append(of_test[rows])
            if seed == seeds[0]:
                of_scarce.append(of_test[scarce])
    return _Sample(rows, labels[rows], sampled, labels[scarce], of_scarce)
