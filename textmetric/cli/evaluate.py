"""``textmetric evaluate``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from textmetric.cli.options import (
    Source,
    examples,
    json_flag,
    model_argument,
    note,
    reads_table,
)

if TYPE_CHECKING:
    from textmetric.cli.tables import Table
    from textmetric.runtime import Model
    from textmetric.types import Bools, Float32, Int64

_CONFUSED = 5
"""Pairs of classes that are shown."""
_SHOWN = {
    "accuracy": "accuracy",
    "recall_at_1": "recall@1",
    "map_at_r": "MAP@R",
    "cohesion": "cohesion",
    "between_class_cosine": "between-class cosine",
    "gap": "gap",
    "kmeans_ami": "k-means AMI",
    "verification_auc": "verification AUC",
    "verification_eer": "verification EER",
}


class _Result(NamedTuple):
    """What is written.

    Attributes:
        classes: their names.
        unknown: those that the model does not know.
        measures: (value, low, high) by name; NaN where there is none.
        per_class: a value for each class, by measure.
        confused: the pairs of classes that are taken for each other most.
    """

    classes: list[str]
    unknown: list[str]
    measures: dict[str, tuple[float, float, float]]
    per_class: dict[str, list[float]]
    confused: list[dict[str, Any]]


@click.command(
    short_help="Measure a model on labelled texts.",
    epilog=examples(
        "textmetric evaluate my-model test.csv --text body --label stars",
        "textmetric evaluate my-model test.csv --text body --label stars --json > measures.json",
        "cat test.csv | textmetric evaluate my-model - --text body --label stars",
    ),
)
@model_argument
@reads_table(labels=True, empty="drop")
@json_flag
def evaluate(model: str, table: Source, as_json: bool) -> None:
    """Measure MODEL on the labelled texts of TABLE, which it should not have been trained on.

    Accuracy is of the labels that `classify` gives. Recall@1 and MAP@R are of the retrieval of each
    text among the others. Cohesion, between-class cosine and gap say how compact and how far apart
    the classes are, k-means AMI how well clusters agree with them, and verification how well the
    cosine of two texts tells whether they are of one class. Intervals of 95 % are over texts like
    these. docs/measures.md explains the measures.

    TABLE is a csv, tsv, jsonl or parquet file, or - for the standard input.
    """
    from textmetric.cli.models import load_model, note_unknown
    from textmetric.cli.output import aligned, write_json

    loaded = load_model(model)
    read = table.read()
    embeddings, known = loaded.embed(read.texts)
    note_unknown(known)
    result = _measured(loaded, read, embeddings, known)
    counted = f"{len(read.texts)} texts, {len(result.classes)} classes"
    if result.unknown:
        note(f"the model does not know the labels {', '.join(map(repr, result.unknown))}")
    if as_json:
        write_json(
            {
                "rows": len(read.texts),
                "dropped_rows": read.dropped,
                "without_known_word": int((~known).sum()),
                "classes": result.classes,
                "unknown_classes": result.unknown,
                "measures": {
                    name: dict(zip(("value", "low", "high"), values, strict=True))
                    for name, values in result.measures.items()
                },
                "per_class": result.per_class,
                "confused": result.confused,
            }
        )
        return
    click.echo(f"{read.source}: {counted}\n")
    rows = [
        (_SHOWN[name], f"{value:.3f}", "" if math.isnan(low) else f"[{low:.3f}, {high:.3f}]")
        for name, (value, low, high) in result.measures.items()
        if not math.isnan(value)
    ]
    click.echo(aligned(rows, header=("measure", "value", "95 % interval"), right=(1,)))
    if result.confused:
        cells = [
            (str(pair["confused"]), f"{pair['share']:.1%}", f"{pair['first']} / {pair['second']}")
            for pair in result.confused
        ]
        click.echo("\n" + aligned(cells, header=("confused", "share", "classes"), right=(0, 1)))


def _measured(model: Model, read: Table, embeddings: Float32, known: Bools) -> _Result:
    import numpy as np

    from textmetric.measures import mean_interval, share_interval
    from textmetric.measures.evaluation import evaluated, measured

    assert read.labels is not None
    names = [_named(label, model) for label in read.labels]
    unknown = sorted(set(names) - set(model.label_names))
    classes = [*model.label_names, *unknown]
    ids = {name: place for place, name in enumerate(classes)}
    labels: Int64 = np.array([ids[name] for name in names])
    predicted = model.decide(embeddings, known).argmax(axis=1)
    full = _has_extra()
    space = measured(embeddings, labels, classes=len(classes), clusters=full)
    found = evaluated(space, labels, classes=len(classes), predictions={"label": predicted})
    values = {"accuracy": found.flat["label_accuracy"]} | found.flat
    intervals = {"accuracy": share_interval(int((predicted == labels).sum()), len(labels))}
    hits = space.found.recall[1]
    hits = hits[~np.isnan(hits)]
    sampled = space.found.sampled()
    if sampled:
        note(
            f"Recall@1 is of a sample of {sampled['recall_at_1_queries']:,} texts and MAP@R of "
            f"{sampled['map_at_r_queries']:,}, each among all; their intervals are of the sampling"
        )
        for name in ("recall_at_1", "map_at_r"):
            value, margin = values[name], sampled[f"{name}_margin"]
            intervals[name] = value, value - margin, value + margin
    else:
        intervals["recall_at_1"] = share_interval(int(hits.sum()), len(hits))
    if full and not sampled:
        queries = space.found.map_at_r[~np.isnan(space.found.map_at_r)]
        if len(np.unique(queries)) > 1:  # equal values do not say how others would spread
            intervals["map_at_r"] = mean_interval(queries)
    return _Result(
        classes,
        unknown,
        {name: intervals.get(name, (values[name], math.nan, math.nan)) for name in _SHOWN},
        {name.replace("label_", ""): by_class for name, by_class in found.per_class.items()},
        _confused(model, embeddings, labels, predicted, classes) if full else [],
    )


def _confused(
    model: Model, embeddings: Float32, labels: Int64, predicted: Int64, classes: list[str]
) -> list[dict[str, Any]]:
    import numpy as np

    from textmetric.measures import confused_classes

    own = model.centroids
    centroids = np.full((len(classes), own.shape[1]), np.nan, dtype=own.dtype)
    centroids[: len(own)] = own
    pairs = confused_classes(embeddings, labels, centroids, predicted=predicted, top=_CONFUSED)
    return [
        {
            "first": classes[pair.first],
            "second": classes[pair.second],
            "confused": pair.confused,
            "share": pair.share,
        }
        for pair in pairs
    ]


def _named(label: str, model: Model) -> str:
    """The name of a label as the model has it: 4 is the name 4.0 where labels were floats."""
    if model.classes_.dtype.kind in "if":
        try:
            number = float(label)
        except ValueError:
            return label
        for name, known in zip(model.label_names, model.classes_.tolist(), strict=True):
            if known == number:
                return name
    return label


def _has_extra() -> bool:
    """Whether there is what some measures need; says so if not."""
    from importlib.util import find_spec

    if find_spec("scipy") and find_spec("sklearn"):
        return True
    note(
        "k-means, confused classes and the interval of MAP@R need scikit-learn and scipy: install "
        "them with pip install 'text-metric-learning[train]'"
    )
    return False
