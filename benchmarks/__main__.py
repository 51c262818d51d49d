"""Time our code against what a user would otherwise pick, in turn, on the same work.

Every line gives the median seconds of both sides, the median, least and largest ratio ours / peer
over the rounds, and the most memory of either. Warm-up is not counted. Libraries have one thread
each unless the case says otherwise.

Examples:
    python -m benchmarks
    python -m benchmarks training tsne --rounds 3 --texts news.csv --json figures.json
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path
from typing import Any

from benchmarks import rounds
from benchmarks.rounds import Options
from textmetric import command
from textmetric.errors import UserError, missing_package, unknown_name
from textmetric.files import write_json

# Before a part loads its libraries, and for the processes it starts. A case with more than one
# thread asks for them.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

PARTS = {
    "text": "reading and tokenising",
    "training": "steps, epochs and whole jobs of training",
    "vectors": "training from given token vectors",
    "frozen": "a projection of given text vectors",
    "objectives": "the loss and gradient of every objective",
    "measures": "the measures of a test set",
    "tsne": "maps of embeddings",
    "runtime": "a saved model in use, without torch",
    "recluster": "clusters that learn from corrections",
    "startup": "starting the stages, and a pipeline with nothing to do",
    "growth": "seconds and memory as the texts grow more",
    "large": "the whole way at 10 million texts, measured on a million of them; half an hour, and "
    "not among all",
}


ASKED_FOR = ("large",)
"""Parts that run only where they are named."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("benchmarks", __doc__)
    cases = "; ".join(f"{name}: {what}" for name, what in PARTS.items())
    made.add_argument("parts", nargs="*", metavar="PART", help=f"which, default all. {cases}")
    made.add_argument("--only", metavar="WORDS", help="cases whose name has these words alone")
    made.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    made.add_argument("--rounds", type=int, help="timed pairs of a case (5, with --quick 2)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    made.add_argument(
        "--texts", metavar="FILE", help="a csv with the columns text and label (docstrings)"
    )
    return made


def main(arguments: argparse.Namespace) -> None:
    """Run the parts that the command line names, print a line a case and write the records.

    Raises:
        UserError: an unknown part, a package that is not installed, or two sides that did not do
            the same work.
    """
    for part in arguments.parts:
        if part not in PARTS:
            raise unknown_name("part", part, PARTS)
    if arguments.rounds is not None and arguments.rounds < 1:
        raise UserError(f"--rounds is {arguments.rounds}, expected at least 1")
    options = Options(
        arguments.quick, arguments.rounds or (2 if arguments.quick else 5), arguments.texts
    )
    print(rounds.machine(), flush=True)
    found: list[dict[str, Any]] = []
    for part in arguments.parts or [part for part in PARTS if part not in ASKED_FOR]:
        try:
            for case in importlib.import_module(f"benchmarks.{part}").cases(options):
                if arguments.only is not None and arguments.only not in case.case:
                    continue
                found.append(rounds.record(case, rounds.measure(case, options.rounds)))
                print(rounds.line(found[-1]), flush=True)
                if arguments.json is not None:  # a long run that is left keeps what it has
                    write_json(arguments.json, found)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(("benchmarks", "textmetric", "stages", "studies")):
                raise  # ours: no package brings it
            module = (error.name or "").partition(".")[0]
            purpose = f"the benchmark of {part}"
            raise missing_package(module, purpose, "benchmark,peers") from error


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt="the file of --json has what was timed before")
