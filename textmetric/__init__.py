"""TextMetric: should text embeddings be trained by classification or by metric learning?

``textmetric.TextEmbedder`` is the scikit-learn estimator; the pipeline's stages use the
same code. Importing the package alone is quick: torch comes with the estimator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textmetric.embedder import TextEmbedder

__all__ = ["TextEmbedder", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "TextEmbedder":
        from textmetric.embedder import TextEmbedder

        return TextEmbedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
