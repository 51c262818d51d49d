"""The token vectors that the encoders start from, where params.yaml gives some."""

from __future__ import annotations

from textmetric.grid import Layout
from textmetric.params import Model
from textmetric.text import TokenVectors
from textmetric.types import Float32


def given_vectors(layout: Layout, model: Model) -> TokenVectors | None:
    """What :func:`.write_vectors` wrote; None if no vectors are given.

    Raises:
        UserError: a file is missing or damaged.
    """
    return None if model.vectors is None else TokenVectors.load(layout.vectors / "tokens")


def given_values(layout: Layout, model: Model) -> Float32 | None:
    """The values of :func:`given_vectors` alone."""
    given = given_vectors(layout, model)
    return None if given is None else given.values
