"""Speed against what a user would otherwise pick: ``python -m benchmarks --help``."""

import sys

from textmetric.signals import answer_at_once

if sys.argv[:1] == ["-m"]:  # so it is while a program of `python -m` imports
    answer_at_once()
