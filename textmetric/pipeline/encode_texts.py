"""The vectors of all texts, for a frozen encoder: from a sentence encoder, or the corpora's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from textmetric.corpora import Spec, text_vectors
from textmetric.errors import UserError
from textmetric.files import reading, replacing_folder, write_array, write_json
from textmetric.grid import Layout, Role, moved
from textmetric.inference import checked_vectors
from textmetric.types import Float32, Int64


def encode_texts(
    layout: Layout,
    corpora: Mapping[Role, Spec],
    *,
    encoder: str,
    vectors: str | None,
    progress: bool = True,
) -> None:
    """Write the vectors of the texts of every role, if the encoder is frozen.

    Writes ``data/encoded/``: ``about.json`` and, for a frozen encoder, ``<role>.npy``, a float32
    vector for each row of the role's corpus. A text that is in both corpora is encoded once.

    Args:
        layout: where everything is.
        corpora: the corpus of each role, as in params.yaml.
        encoder: ``frozen``, or another encoder, which needs no such vectors.
        vectors: the folder or hub name of the sentence encoder; None for what the corpora bring.
        progress: show a progress bar.

    Raises:
        UserError: the sentence encoder is not there or cannot be used; a corpus brings no vectors,
            other ones than when it was read, or of another width than the other corpus.
    """
    with replacing_folder(layout.encoded) as folder:
        about: dict[str, object] = {"encoder": encoder}
        if encoder == "frozen":
            if vectors is None:
                found, sha256 = _brought(layout, corpora), ""
            else:
                found, sha256 = _encoded(layout, vectors, list(corpora), progress)
            for role, values in found.items():
                write_array(moved(layout.text_vectors(role), layout.encoded, folder), values)
            width = next(iter(found.values())).shape[1]
            about |= {"vectors": vectors, "sha256": sha256, "width": width}
        write_json(folder / "about.json", about)


def _encoded(
    layout: Layout, name: str, roles: list[Role], progress: bool
) -> tuple[dict[Role, Float32], str]:
    # Imported here: with another encoder the stage has nothing to do, and needs no torch.
    from textmetric.encoders.frozen import sentence_vectors

    texts = {role: _column(layout, role, "text") for role in roles}
    vectors = sentence_vectors(
        [text for of_role in texts.values() for text in of_role], name, progress=progress
    )
    ends = np.cumsum([len(of_role) for of_role in texts.values()])
    parts = np.split(vectors.values, ends[:-1])
    return dict(zip(roles, parts, strict=True)), vectors.sha256


def _brought(layout: Layout, corpora: Mapping[Role, Spec]) -> dict[Role, Float32]:
    found: dict[Role, Float32] = {}
    for role, spec in corpora.items():
        values = text_vectors(spec)
        if values is None:
            raise UserError(
                f"model.encoder is frozen and model.vectors is null, but corpora.{role} brings no "
                "vectors: add vectors to its mapping (docs/corpora.md), or name a sentence encoder "
                "in model.vectors"
            )
        rows: Int64 = np.array(_column(layout, role, "row"), dtype=np.int64)
        if rows.max() >= len(values):
            raise UserError(
                f"corpora.{role} brings {len(values)} vectors, fewer than when it was read: run "
                "dvc repro -f download"
            )
        found[role] = checked_vectors(values[rows], f"the vectors of corpora.{role}")
    widths = {role: values.shape[1] for role, values in found.items()}
    if len(set(widths.values())) > 1:
        raise UserError(
            f"the vectors of corpora.target are {widths['target']} wide, but those of "
            f"corpora.source {widths['source']}: bring vectors of one encoder"
        )
    return found


def _column(layout: Layout, role: Role, name: str) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet

    path = layout.corpus(role)
    with reading(path, f"a parquet table with the column {name}", pa.ArrowException):
        values: list[Any] = pyarrow.parquet.ParquetFile(path).read(columns=[name])[name].to_pylist()
        return values
