"""The stages of the pipeline: ``python -m stages.<name> --help``; dvc.yaml says what runs when."""

import gc
import sys

# While a stage starts, `python -m` has set this name. Importing torch makes a million objects that
# stay: to look through them again and again for garbage takes a third of the start.
# `stages.command.run` collects again.
if sys.argv[:1] == ["-m"]:
    gc.disable()
