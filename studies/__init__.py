"""Comparisons outside the pipeline: ``python -m studies.league --help``, ``studies.ablations``."""

import sys

from textmetric.signals import answer_at_once

if sys.argv[:1] == ["-m"]:  # so it is while a program of `python -m` imports
    answer_at_once()
