"""Saved models in formats that other programs read: see docs/export.md."""

from __future__ import annotations

from textmetric.export.onnx_graph import export_onnx
from textmetric.export.static import export_model2vec, export_sentence_transformers
from textmetric.export.table import export_parquet

__all__ = [
    "export_model2vec",
    "export_onnx",
    "export_parquet",
    "export_sentence_transformers",
]
