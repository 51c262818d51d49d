"""t-SNE: from embeddings to the plane. No torch."""

from __future__ import annotations

from textmetric.tsne.placement import place
from textmetric.tsne.projection import sample_rows, scarce_rows, tsne, tsne_each

__all__ = ["place", "sample_rows", "scarce_rows", "tsne", "tsne_each"]
