"""DBpedia-14: 560,000 train and 70,000 test abstracts in 14 classes.

J. Lehmann et al., Semantic Web Journal 2015, in the version of X. Zhang, J. Zhao and Y. LeCun,
"Character-level Convolutional Networks for Text Classification", NIPS 2015. A text is the title,
a space, and the content.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmetric.corpora import fetch, published

if TYPE_CHECKING:
    import pandas as pd

CLASSES = (
    "Company",
    "EducationalInstitution",
    "Artist",
    "Athlete",
    "OfficeHolder",
    "MeanOfTransportation",
    "Building",
    "NaturalPlace",
    "Village",
    "Animal",
    "Plant",
    "Album",
    "Film",
    "WrittenWork",
)
ROWS = {"train": 560_000, "test": 70_000}

_WANTED = tuple(f"dbpedia_csv/{part}.csv" for part in ROWS)
_DRIVE = "https://drive.google.com/uc?export=download&id=0Bz8a_Dbh9QhbQ2Vic1kxMmZZQ1k"
ALTERNATIVES = (
    (fetch.File("dbpedia_csv.tar.gz", (_DRIVE,), "md5:dca7b1ae12b1091090db52aa7ec5ca64"),),
    (fetch.File("dbpedia_csv.tgz", ("https://s3.amazonaws.com/fast-ai-nlp/dbpedia_csv.tgz",)),),
    tuple(fetch.File(name) for name in _WANTED),  # unpacked by hand, in the cache or a mirror
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
        return published.checked("dbpedia14", Path(name).stem, frame, ROWS, len(CLASSES))

    frames = fetch.fetch(
        "dbpedia14",
        _WANTED,
        ALTERNATIVES,
        cache=cache,
        mirror=mirror,
        progress=progress,
        parse=parse,
    )
    return published.join(dict(zip(ROWS, frames, strict=True))), {}
