"""What the original study published, to stand beside what a run finds on the same corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

AG_NEWS, DBPEDIA_CLASSES = "ag_news", "dbpedia_classes"

COHESION_BY_LABEL = {
    "cls": (0.44, 0.52, 0.38, 0.28),
    "metric": (0.61, 0.72, 0.58, 0.65),
}
"""Table 7-1: family → cohesion of AG_NEWS's labels, in the order of :data:`AG_NEWS_LABELS`."""

AG_NEWS_LABELS = ("World", "Sports", "Business", "Sci/Tech")

COHESION_AVERAGE = {"cls": 0.41, "metric": 0.64}

COHESION_STATISTICS = {
    "cls": (0.79, 0.07, 0.48, 0.74, 0.79, 0.84, 0.94),
    "metric": (0.71, 0.09, 0.38, 0.66, 0.73, 0.78, 0.89),
}
"""Table 7-2: family → mean, std, min, quartiles and max over the 219 labels of DBPedia Classes."""

L3_CLASSES_AT_LEAST = 100
"""The other levels of DBPedia Classes have 9 and 70; a sample may lack some of the 219."""


class Claim(NamedTuple):
    """What the original study concluded: its table, on which measure, and who was better."""

    table: str
    sentence: str
    better: str


CLAIMS = (
    Claim("7-1", "Metric learning is better on balanced AG_NEWS (higher cohesion).", "metric"),
    Claim(
        "7-2", "Classification is better on DBPedia Classes (higher cohesion).", "classification"
    ),
    Claim("8-1", "Metric learning copes better with a scarce label.", "metric"),
    Claim("9", "Fine-tuning starts better from metric learning.", "metric"),
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
