"""AG_NEWS: 120,000 train and 7,600 test news items in 4 classes.

A. Gulli's corpus of news articles in the version of X. Zhang, J. Zhao and Y. LeCun,
"Character-level Convolutional Networks for Text Classification", NIPS 2015. A text is the title,
a space, and the description, as in torchtext.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora import fetch, published

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("World", "Sports", "Business", "Sci/Tech")
ROWS = {"train": 120_000, "test": 7_600}

_WANTED = tuple(f"ag_news_csv/{part}.csv" for part in ROWS)
_ORIGINAL = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/"
_MD5 = ("b1a00f826fdfbd249f79597b59e1dc12", "d52ea96a97a2d943681189a97654912d")
ALTERNATIVES = (
    tuple(
        fetch.File(name, (_ORIGINAL + name,), f"md5:{md5}")
        for name, md5 in zip(_WANTED, _MD5, strict=True)
    ),
    (fetch.File("ag_news_csv.tgz", ("https://s3.amazonaws.com/fast-ai-nlp/ag_news_csv.tgz",)),),
)


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the rows as published: ``text``, ``label``, ``split``; no further counts.

    Raises:
        UserError: no address gives the files.
    """

    def parse(name: str, data: bytes) -> pd.DataFrame:
        frame = published.titled(data, name, CLASSES)
        return published.checked("ag_news", Path(name).stem, frame, ROWS, len(CLASSES))

    frames = fetch.fetch(
        "ag_news",
        _WANTED,
        ALTERNATIVES,
        cache=cache,
        mirror=mirror,
        progress=progress,
        parse=parse,
    )
    return published.join(dict(zip(ROWS, frames, strict=True))), {}
