"""The folder of an export: written whole, and never over something else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textmetric.errors import UserError
from textmetric.export.card import CARD, is_card
from textmetric.files import replacing_folder
from textmetric.types import PathLike

_NAMES = {
    CARD, "model.safetensors", "tokenizer.json", "config.json", "modules.json", "model.onnx",
    "config_sentence_transformers.json", "texts.parquet", "0_StaticEmbedding", "0_TokenVectors",
    "1_LayerNorm", "1_Dense", "2_Dense",
}  # fmt: skip
"""Of the files and folders of exports."""


@contextmanager
def export_folder(out: PathLike) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``out`` on success.

    Raises:
        UserError: ``out`` is neither empty nor an earlier export, or cannot be written.
    """
    folder = Path(out)
    if folder.exists() and not _replaceable(folder):
        raise UserError(f"{folder} exists and is not an export: choose another folder, or empty it")
    with replacing_folder(folder) as temporary:
        yield temporary


def _replaceable(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    found = set(os.listdir(folder))
    return not found or (is_card(folder / CARD) and found <= _NAMES)
