"""Training: the loop, the step by torch, the compiled step and its kernels, fine-tuning."""

from __future__ import annotations

from textmetric.errors import needing

with needing("training", "train"):
    import torch  # noqa: F401
