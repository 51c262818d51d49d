"""Saved models, as commands use them."""

from __future__ import annotations

import os

from textmetric.cli.options import note
from textmetric.errors import UserError
from textmetric.runtime import Model
from textmetric.types import Bools


def load_model(folder: str) -> Model:
    """The model of a folder, which embeds texts.

    Raises:
        UserError: there is none, it is damaged, or it embeds given vectors in place of texts.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"there is no folder {folder}: name one that textmetric train or TextEmbedder.save "
            "wrote"
        )
    model = Model.load(folder)
    if model.frozen:
        raise UserError(
            f"{folder} embeds the vectors of a sentence encoder, not texts: use it from Python, "
            "with TextEmbedder.load or textmetric.load"
        )
    return model


def note_unknown(known: Bools) -> None:
    """Say how many texts have no known word, if there are any."""
    if unknown := int((~known).sum()):
        note(f"{unknown} of {len(known)} texts have no known word")
