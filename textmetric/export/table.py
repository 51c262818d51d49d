"""Export of texts with their vectors as a Parquet table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing
from textmetric.export.card import CARD, Measures, card
from textmetric.export.folder import export_folder
from textmetric.export.source import Source, saved_of, title_of
from textmetric.runtime import load
from textmetric.text import checked_texts
from textmetric.types import PathLike

TABLE = "texts.parquet"


def export_parquet(
    model: Source,
    texts: Sequence[str],
    out: PathLike,
    *,
    labels: Sequence[Any] | None = None,
    vectors: npt.ArrayLike | None = None,
    measures: Measures | None = None,
) -> None:
    """Write ``texts.parquet`` with a row a text, for embedding-atlas, a notebook or a database.

    Its columns are ``text``; ``label``, if labels are given; ``predicted``, the label that the
    model predicts, null for a text without a known token; and ``vector``, the embedding, a list of
    ``dim`` float32.

    Args:
        model: the folder of a saved model, or the model. An estimator runs its sentence encoder.
        texts: n texts.
        out: the folder to write; an earlier export is replaced.
        labels: of the texts; None for a text without one.
        vectors: (n, width), which a model over given vectors embeds in place of the texts.
        measures: for the card, see :data:`.Measures`.

    Raises:
        UserError: the package ``pyarrow`` is missing, there is not one label or vector a text, a
            text holds half of a surrogate pair, the model cannot embed texts, or ``out`` cannot be
            written.
    """
    with needing("the export to parquet", "study"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    rows = checked_texts(texts, empty_allowed=True)
    for row, text in enumerate(rows):
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise UserError(
                f"text {row} (counted from 0) holds half of a surrogate pair, which has no UTF-8: "
                "correct it or drop it"
            )
    for name, values in (("labels", labels), ("vectors", vectors)):
        if values is not None and len(np.asarray(values, dtype=object)) != len(rows):
            raise UserError(
                f"there are {len(np.asarray(values, dtype=object))} {name} and {len(rows)} texts: "
                f"give one of {name} for each text"
            )
    saved = saved_of(model)
    machine: Any = model if hasattr(model, "transform") else load(model)
    inputs: Any = rows if vectors is None else vectors
    embeddings = np.asarray(machine.transform(inputs), dtype=np.float32)
    columns: dict[str, Any] = {"text": pa.array(rows, pa.string())}
    if labels is not None:
        columns["label"] = _column(labels)
    columns["predicted"] = _column(_predicted(machine, inputs))
    columns["vector"] = pa.FixedSizeListArray.from_arrays(
        pa.array(embeddings.ravel(), pa.float32()), embeddings.shape[1]
    )
    with export_folder(out) as folder:
        pq.write_table(pa.table(columns), folder / TABLE)
        text = card(
            saved,
            title=title_of(out),
            front={},
            tags=("embeddings",),
            usage=_USAGE,
            notes=[],
            measures=measures,
        )
        (folder / CARD).write_text(text, encoding="utf-8")


_USAGE = """
import numpy as np
import pandas as pd

table = pd.read_parquet("path/to/this/folder/texts.parquet")
vectors = np.stack(table["vector"])
"""


def _predicted(machine: Any, inputs: Any) -> list[Any]:
    """The label of each text; None for one without a known token."""
    unknown = object()
    labels = machine.predict(inputs, reject=unknown)
    return [None if label is unknown else label for label in labels.tolist()]


def _column(values: Sequence[Any]) -> Any:
    """Labels as a column; of labels of different types, as text.

    Raises:
        UserError: a label has no UTF-8.
    """
    import pyarrow as pa

    listed = np.asarray(values, dtype=object).tolist()
    kinds = {type(value) for value in listed if value is not None}
    if len(kinds) > 1 or not kinds <= {str, int, float, bool}:
        listed = [None if value is None else str(value) for value in listed]
    try:
        return pa.array(listed)
    except (pa.ArrowInvalid, UnicodeEncodeError, OverflowError) as error:
        raise UserError(
            f"the labels cannot be written to parquet ({' '.join(str(error).split())[:100]}): "
            "correct them"
        ) from None
