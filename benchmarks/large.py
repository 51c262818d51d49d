"""A corpus larger than memory should be: the whole way with 0.1, 1 and 10 million texts.

As :mod:`benchmarks.growth`, each size in a process of its own, but a tenth of the texts is the test
part, and is measured; training reads windows; and the texts are never all in memory here either.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from benchmarks.corpora import grown, texts
from benchmarks.growth import STEPS, Result, grow
from benchmarks.rounds import Case, Options
from textmetric.command import INTERACTIVE

ROWS = (100_000, 1_000_000, 10_000_000)
QUICK_ROWS = (3_000, 12_000)
WINDOW = 1 << 18  # texts
_AT_ONCE = 200_000  # texts that are made


def cases(options: Options) -> Iterator[Case]:
    """A size each."""
    for rows in QUICK_ROWS if options.quick else ROWS:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder, "train.csv"), rows, options)
            yield _case(rows, Path(folder))


def _write(path: Path, rows: int, options: Options) -> None:
    """A table of texts that grow out of those there are; see :func:`.grown`."""
    some, labels = texts(options)
    bar = tqdm(total=rows, unit=" texts", desc="make texts", disable=not INTERACTIVE)
    with path.open("w", encoding="utf-8") as file, bar:
        for seed, start in enumerate(range(0, rows, _AT_ONCE)):
            count = min(_AT_ONCE, rows - start)
            made, of_made = grown(some, labels, len(some) + count, seed)
            frame = pd.DataFrame({"text": made[len(some) :], "label": of_made[len(some) :]})
            frame.to_csv(file, index=False, header=start == 0)
            bar.update(count)


def _case(rows: int, folder: Path) -> Case:
    found: list[Result] = []

    def ours() -> Result:
        found.append(grow(folder, None, min(WINDOW, rows)))
        return found[-1]

    def check(result: Result, _: None) -> str:
        every = result["rows"] + result["test_rows"]
        costs = {step: result["seconds"][step] / every * 1e6 for step in STEPS}
        said = [f"{step} {cost:.2f}" for step, cost in costs.items()]
        peaks = [f"{step} {result['peaks_mb'][step]:,.0f}" for step in STEPS]
        return (
            f"{', '.join(said)}, in all {sum(costs.values()):.1f} µs of the processor a text, "
            f"{result['test_rows']:,} of them measured; {result['tokens']:,} tokens known, "
            f"{result['length']:.0f} a text; peak after {', '.join(peaks)} MiB"
        )

    return Case(
        "large",
        f"{rows:,} texts, windows of {min(WINDOW, rows):,}",
        ours,
        check=check,
        memory=lambda: (found[-1]["peak_mb"], None),
        note="the whole process, its imports and memory before the first text too",
        long=True,
    )
