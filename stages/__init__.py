"""The stages of the pipeline: ``python -m stages.<name> --help``; dvc.yaml says what runs when."""

import gc
import sys

from textmetric.signals import answer_at_once

# `python -m` has set this name while a stage starts. Importing torch makes a million objects that
# stay, and searching them for garbage again and again takes a third of the start.
# `stages.stage.run` turns collection on again.
if sys.argv[:1] == ["-m"]:
    gc.disable()
    answer_at_once()
