"""Clusters that learn from corrections, turn by turn."""

from __future__ import annotations

from textmetric.reclustering.ask import Question
from textmetric.reclustering.changes import Changes, Move
from textmetric.reclustering.corrections import Constraints, Corrections
from textmetric.reclustering.held_out import HeldOut
from textmetric.reclustering.turn import Turn, recluster
from textmetric.reclustering.turns import Turns

__all__ = [
    "Changes",
    "Constraints",
    "Corrections",
    "HeldOut",
    "Move",
    "Question",
    "Turn",
    "Turns",
    "recluster",
]
