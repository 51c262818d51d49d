"""TextMetric: should text embeddings be trained by classification or by metric learning?"""

from __future__ import annotations

__version__ = "0.1.0"
