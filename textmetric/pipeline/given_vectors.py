"""The token vectors that the encoders start from, where params.yaml gives some. No torch."""

from __future__ import annotations

from textmetric.grid import Layout
from textmetric.params import Model
from textmetric.text import TokenVectors


def given_vectors(layout: Layout, model: Model) -> TokenVectors | None:
    """What :func:`.write_vectors` wrote; None if no token vectors are given.

    Raises:
        UserError: a file is missing or damaged.
    """
    if model.encoder == "frozen" or model.vectors is None:
        return None
    return TokenVectors.load(layout.vectors / "tokens")
