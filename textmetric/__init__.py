"""TextMetric: should text embeddings be trained by classification or by metric learning?

``textmetric.TextEmbedder`` is the scikit-learn estimator, and ``textmetric.load`` reads what it
saved without torch; the pipeline's stages use the same code. ``textmetric.recluster`` clusters
texts again after corrections. Importing the package alone is quick: torch comes with the estimator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textmetric.embedder import TextEmbedder
    from textmetric.reclustering import recluster
    from textmetric.runtime import load

__all__ = ["TextEmbedder", "__version__", "load", "recluster"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "TextEmbedder":
        from textmetric.embedder import TextEmbedder

        return TextEmbedder
    if name == "load":
        from textmetric.runtime import load

        return load
    if name == "recluster":
        from textmetric.reclustering import recluster

        return recluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
