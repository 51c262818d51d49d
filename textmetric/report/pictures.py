"""The pictures of a run: which there are, from which files, under which names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textmetric.errors import needing

with needing("the report", "study"):
    import pandas as pd

from textmetric import parallel
from textmetric.files import replacing_folder
from textmetric.grid import Layout, Role, Split
from textmetric.report.figures import (
    Answer,
    answers,
    finetune_curves,
    label_dots,
    label_efficiency,
    learning_curves,
    measure_dots,
    rows_histogram,
    tsne_panels,
)
from textmetric.report.findings import find_all
from textmetric.report.findings.rarest import RARE_PICTURES, label_values, rare_split
from textmetric.report.names import ANSWER, HEADLINES, side_by_side
from textmetric.report.study import Study, read_maps

DIFFERENCE = "metric learning − classification, in units of each measure (0 to 1)"


def draw_pictures(layout: Layout, study: Study, *, progress: bool = False) -> None:
    """Draw ``reports/figures/`` and ``plots/tsne/``.

    Args:
        layout: where everything is.
        study: the run.
        progress: show a progress bar.

    Raises:
        UserError: a file is missing or damaged.
    """
    arms = list(study.arms)
    maps = {
        name: read_maps(layout, Split(entry.role, name), arms)
        for name, entry in study.splits.items()
    }
    shown = side_by_side(arms)
    with replacing_folder(layout.figures) as figures, replacing_folder(layout.maps_drawn) as tsne:
        uses = _uses(study)
        pictures = [
            *([partial(answers, figures / ANSWER, uses, DIFFERENCE)] if uses else []),
            *(
                partial(measure_dots, figures / f"measures-{role}.png", _headlines(study, role))
                for role in study.roles
            ),
            partial(finetune_curves, figures / "transfer.png", study.transfers),
            partial(label_efficiency, figures / "label-efficiency.png", study.transfers),
            *(
                partial(learning_curves, figures / f"curves-{split}.png", by_arm)
                for split, by_arm in study.curves.items()
            ),
            *(
                partial(
                    tsne_panels,
                    tsne / f"{name}.png",
                    {arm: of_split.coordinates[arm][0] for arm in shown},
                    of_split.labels,
                    study.about(name).label_names,
                    study.about(name).scarce,
                )
                for name, of_split in maps.items()
            ),
        ]
        rare = rare_split(study)
        if rare is not None:
            about, of_rare = study.about(rare), maps[rare]
            histogram = figures / "8-2-histogram.png"
            pictures += [
                partial(rows_histogram, histogram, about.train_rows, about.scarce),
                *(
                    partial(
                        label_dots,
                        figures / f"{table}.png",
                        label_values(study, rare, key, about.scarce),
                        about.label_names,
                        title,
                    )
                    for table, (key, title) in RARE_PICTURES.items()
                ),
                partial(
                    tsne_panels,
                    figures / "8-2-tsne.png",
                    {arm: of_rare.of_scarce[arm] for arm in shown},
                    of_rare.scarce_labels,
                    about.label_names,
                ),
            ]
        parallel.run(
            _draw,
            pictures,
            files=lambda picture: parallel.Files((), [picture.args[0]]),
            label="draw",
            unit="picture",
            progress=progress,
        )


def _draw(picture: Callable[[], None], tick: Callable[[], None]) -> None:
    picture()
    tick()


def _uses(study: Study) -> list[Answer]:
    """The verdict on every use that a table answers."""
    found: list[Answer] = []
    for finding in find_all(study):
        verdict = finding.verdict
        if finding.use and verdict:
            sign = 1 if verdict.measure.large_is_good else -1
            paired = verdict.paired
            interval = sign * paired.mean, sign * paired.low, sign * paired.high
            found.append((finding.use, interval, verdict.outcome))
    return found


def _headlines(study: Study, role: Role) -> pd.DataFrame:
    """split, arm, measure, mean, low, high of the headline measures; none that a split lacks."""
    rows = [
        [split, arm, measure.key, *study.records[split][arm].interval[measure.key]]
        for split, entry in study.splits.items()
        if entry.role == role
        for arm in study.arms
        for measure in HEADLINES
        if measure.key in study.records[split][arm].interval
    ]
    frame = pd.DataFrame(rows, columns=["split", "arm", "measure", "mean", "low", "high"])
    return frame.astype({"mean": float, "low": float, "high": float})
