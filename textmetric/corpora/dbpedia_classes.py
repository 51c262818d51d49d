"""DBPedia Classes: 337,739 abstracts under three levels of 9, 70 and 219 classes.

The Kaggle data set ``danofer/dbpedia-classes`` of D. Ofer, and a copy of it. No checksum is known
for either, so the published counts are checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora import fetch, published
from textmetric.corpora.delimited import csv_table

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {"l1": 9, "l2": 70, "l3": 219}
ROWS = {"train": 240_942, "validation": 36_003, "test": 60_794}

_WANTED = tuple(f"dbpedia_classes/DBPEDIA_{part}.csv" for part in ("train", "val", "test"))
_COPY = "https://huggingface.co/datasets/DeveloperOats/DBPedia_Classes/resolve/main/"
_KAGGLE = "https://www.kaggle.com/api/v1/datasets/download/danofer/dbpedia-classes"
ALTERNATIVES = (
    tuple(fetch.File(name, (_COPY + name.split("/")[1],)) for name in _WANTED),
    (fetch.File("dbpedia_classes.zip", (_KAGGLE,)),),
)


def read(
    *, level: str | None, cache: Path, mirror: str | None, progress: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the rows as published: ``text``, ``label`` (of ``level``, l3 by default), ``split``.

    Raises:
        UserError: no address gives the files.
    """
    column = level or "l3"
    parts = dict(zip(_WANTED, ROWS, strict=True))

    def parse(name: str, data: bytes) -> pd.DataFrame:
        table = csv_table(data, name, ["text", column]).rename_columns(["text", "label"])
        return published.checked(
            "dbpedia_classes", parts[name], table.to_pandas(), ROWS, LEVELS[column]
        )

    frames = fetch.fetch(
        "dbpedia_classes",
        _WANTED,
        ALTERNATIVES,
        cache=cache,
        mirror=mirror,
        progress=progress,
        parse=parse,
    )
    return published.join(dict(zip(ROWS, frames, strict=True))), {}
