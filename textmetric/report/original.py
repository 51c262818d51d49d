"""What the original study published, to compare with a run on the same corpora."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textmetric.grid import Family, Role
from textmetric.measures import Outcome

AG_NEWS, DBPEDIA_CLASSES = "ag_news", "dbpedia_classes"

COHESION_BY_LABEL = {
    Family.CLASSIFICATION: (0.44, 0.52, 0.38, 0.28),
    Family.METRIC: (0.61, 0.72, 0.58, 0.65),
}
"""Table 7-1: family → cohesion of AG_NEWS's labels, in the order of :data:`AG_NEWS_LABELS`."""

AG_NEWS_LABELS = ("World", "Sports", "Business", "Sci/Tech")

COHESION_AVERAGE = {Family.CLASSIFICATION: 0.41, Family.METRIC: 0.64}

COHESION_STATISTICS = {
    Family.CLASSIFICATION: (0.79, 0.07, 0.48, 0.74, 0.79, 0.84, 0.94),
    Family.METRIC: (0.71, 0.09, 0.38, 0.66, 0.73, 0.78, 0.89),
}
"""Table 7-2: family → mean, std, min, quartiles and max over the 219 labels of DBPedia Classes."""

L3_CLASSES_AT_LEAST = 100
"""The other levels of DBPedia Classes have 9 and 70; a sample may lack some of the 219."""


class Claim(NamedTuple):
    """A conclusion of the original study that a run of the pipeline can judge.

    Attributes:
        number: of the conclusion; some need more than one table.
        table: its table.
        sentence: what it says.
        better: ``FIRST`` for metric learning, ``SECOND`` for classification.
        measures: keys of the measures that it is about.
        corpora: role → the corpus that it is about.
        also: keys of other measures, which say whether it matters.
    """

    number: int
    table: str
    sentence: str
    better: Outcome
    measures: Sequence[str]
    corpora: Mapping[Role, str]
    also: Sequence[str] = ()


CLAIMS = (
    Claim(
        2,
        "7-1",
        "Metric learning is better on balanced AG_NEWS (higher cohesion).",
        Outcome.FIRST,
        ("cohesion",),
        {"target": AG_NEWS},
        ("map_at_r",),
    ),
    Claim(
        3,
        "7-2",
        "Classification is better on DBPedia Classes (higher cohesion).",
        Outcome.SECOND,
        ("cohesion",),
        {"source": DBPEDIA_CLASSES},
        ("map_at_r",),
    ),
    Claim(
        5,
        "8-1",
        "A scarce label of AG_NEWS is better separated and more cohesive with metric learning.",
        Outcome.FIRST,
        ("scarce_cohesion", "scarce_gap"),
        {"target": AG_NEWS},
        ("scarce_map_at_r",),
    ),
    Claim(
        6,
        "8-2-1",
        "Classification pulls the texts of a rare label of DBPedia Classes together.",
        Outcome.SECOND,
        ("scarce_cohesion",),
        {"source": DBPEDIA_CLASSES},
    ),
    Claim(
        7,
        "8-2-2",
        "Metric learning keeps rare labels of DBPedia Classes apart from the sufficient ones.",
        Outcome.FIRST,
        ("scarce_between_class_cosine",),
        {"source": DBPEDIA_CLASSES},
    ),
    Claim(
        7,
        "8-2-3",
        "Metric learning keeps rare labels of DBPedia Classes apart from one another.",
        Outcome.FIRST,
        ("scarce_among_cosine",),
        {"source": DBPEDIA_CLASSES},
    ),
    Claim(
        8,
        "9",
        "Fine-tuning on AG_NEWS starts better from metric learning.",
        Outcome.FIRST,
        ("test_accuracy",),
        {"target": AG_NEWS, "source": DBPEDIA_CLASSES},
    ),
)


def corpus_of(summary: Mapping[str, Any]) -> str | None:
    """Which of the original's corpora a run used, whole or a sample of it; None for another.

    Args:
        summary: of the corpus: ``name``, ``sample_of``, ``classes``.

    >>> corpus_of({"name": "ag_news", "sample_of": None, "classes": 4})
    'ag_news'
    >>> corpus_of({"name": "part.csv", "sample_of": "dbpedia_classes", "classes": 70}) is None
    True
    """
    name = summary.get("sample_of") or summary["name"]
    if name == AG_NEWS and summary["classes"] == len(AG_NEWS_LABELS):
        return AG_NEWS
    if name == DBPEDIA_CLASSES and summary["classes"] >= L3_CLASSES_AT_LEAST:
        return DBPEDIA_CLASSES
    return None


def corpus_title(summary: Mapping[str, Any]) -> str:
    """What to call a corpus: its name, its file's, or what it is a sample of.

    >>> corpus_title({"name": "some/where.csv", "sample_of": "ag_news"})
    'ag_news (a sample)'
    >>> corpus_title({"name": "some/where.csv"})
    'where.csv'
    """
    if summary.get("sample_of"):
        return f"{summary['sample_of']} (a sample)"
    return Path(str(summary["name"])).name
