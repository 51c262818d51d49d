"""AG_NEWS: 120,000 train and 7,600 test news items in 4 classes.

A. Gulli's corpus of news articles in the version of X. Zhang, J. Zhao and Y. LeCun,
"Character-level Convolutional Networks for Text Classification", NIPS 2015. A text is the title,
a space, and the description, as in torchtext.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora import fetch, published
from textmetric.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("World", "Sports", "Business", "Sci/Tech")
ROWS = {"train": 120_000, "test": 7_600}

_ORIGINAL = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/"
ALTERNATIVES = (
    (
        fetch.File(
            "ag_news_csv/train.csv",
            (_ORIGINAL + "ag_news_csv/train.csv",),
            "md5:b1a00f826fdfbd249f79597b59e1dc12",
        ),
        fetch.File(
            "ag_news_csv/test.csv",
            (_ORIGINAL + "ag_news_csv/test.csv",),
            "md5:d52ea96a97a2d943681189a97654912d",
        ),
    ),
    (fetch.File("ag_news_csv.tgz", ("https://s3.amazonaws.com/fast-ai-nlp/ag_news_csv.tgz",)),),
)


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows as published: ``text``, ``label``, ``split``; no further counts.

    Raises:
        UserError: a ``level`` is given, or the files cannot be had.
    """
    if level is not None:
        raise UserError("corpus ag_news has no levels: remove the key level from its mapping")
    wanted = [f"ag_news_csv/{split}.csv" for split in ROWS]
    data = fetch.fetch(
        "ag_news", wanted, ALTERNATIVES, cache=cache, mirror=mirror, progress=progress
    )
    frames = {
        split: published.titled(content, name, CLASSES)
        for split, name, content in zip(ROWS, wanted, data, strict=True)
    }
    return published.join("ag_news", frames, ROWS, len(CLASSES), cache), {}
