"""How seconds and memory grow with the texts: each step of a study, each size in its own process.

A size is read, cleaned and written, tokenised by parts, cut to a split, trained on for an epoch,
embedded, and measured on a test set that is the same for all. What a text costs should be the same
everywhere; the vocabulary is what grows with the texts and may make it more, so one size is
trained a second time with the vocabulary of the smallest.

    python -m benchmarks.growth FOLDER [TOKENS]    one size, as the process of a case runs it
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from benchmarks.corpora import texts
from benchmarks.rounds import Case, Options, status

ROOT = Path(__file__).parents[1]
ROWS = (30_000, 120_000, 560_000, 2_000_000)
QUICK_ROWS = (3_000, 12_000)
HELD = 560_000  # trained once more with the smallest size's vocabulary
TEST_ROWS = 2_000
TEST_SHARE = 0.1  # where the test part is not the same for all
WARM_ROWS = 500
FLAT = 1.2  # the largest ratio of a text's cost to its cost in the smallest size
STEPS = ("read", "tokenise", "split", "train", "embed", "measure")
OF_ALL = STEPS[:-1]  # the test set has one size, so measuring it costs the same

Result = dict[str, Any]
_Made = TypeVar("_Made")


def cases(options: Options) -> Iterator[Case]:
    """A size each, and one with the vocabulary held fixed."""
    sizes = QUICK_ROWS if options.quick else ROWS
    some, labels = texts(options, TEST_ROWS + max(sizes))
    frame = pd.DataFrame({"text": some, "label": labels})
    del some, labels
    done: list[Result] = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            # The test set is the same for all.
            frame[:TEST_ROWS].to_csv(Path(folder, "test.csv"), index=False)
            frame[TEST_ROWS : TEST_ROWS + rows].to_csv(Path(folder, "train.csv"), index=False)
            yield _case(f"{rows:,} texts", partial(grow, Path(folder)), done)
            if rows == HELD:
                fixed = done[0]["tokens"]
                name = f"{rows:,} texts, the vocabulary held at {fixed:,} tokens"
                yield _case(name, partial(grow, Path(folder), fixed), done[:1])


def _case(name: str, run: Callable[[], Result], done: list[Result]) -> Case:
    last: list[Result] = []

    def ours() -> Result:
        last[:] = [run()]
        return last[0]

    def check(result: Result, _: None) -> str:
        done.append(result)
        return costs(result, done[0], done[-2] if len(done) > 1 else None)

    return Case(
        "growth",
        name,
        ours,
        check=check,
        memory=lambda: (last[0]["peak_mb"], None),
        note="the whole process, its imports and memory before the first text too",
        long=True,
    )


def costs(result: Result, smallest: Result, before: Result | None) -> str:
    """What a text costs in each step, how that compares with the smallest size, and the memory."""
    parts = []
    for step in OF_ALL:
        cost = result["seconds"][step] / result["rows"]
        part = f"{step} {cost * 1e6:.2f} µs a text"
        if result is not smallest:
            ratio = cost / (smallest["seconds"][step] / smallest["rows"])
            part += f" ({ratio:.2f}{'' if ratio <= FLAT else ', MORE'})"
        parts.append(part)
    parts.append(f"measure {result['seconds']['measure']:.2f} s, all of the processor")
    parts.append(f"{result['tokens']:,} tokens known, {result['length']:.0f} a text")
    if before is not None and result["rows"] > before["rows"]:
        more = (result["peak_mb"] - before["peak_mb"]) * 2**20
        parts.append(f"{more / (result['rows'] - before['rows']):,.0f} bytes a further text")
    peaks = ", ".join(f"{step} {result['peaks_mb'][step]:,.0f}" for step in STEPS)
    return "; ".join([*parts, f"peak after {peaks} MiB"])


def grow(folder: Path, tokens: int | None = None, window: int | None = None) -> Result:
    """Run one size in a process of its own.

    Args:
        folder: with ``train.csv``, and ``test.csv`` if the test part is not to be cut off.
        tokens: hold the vocabulary at this number; None for all.
        window: of the training; None for all rows.
    """
    words = [sys.executable, "-m", "benchmarks.growth", str(folder), str(tokens or 0)]
    words += [] if window is None else [str(window)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr}")
    found: Result = json.loads(done.stdout)
    return found


def steps(folder: Path, tokens: int | None, window: int | None = None) -> Result:
    """All steps in turn; see :func:`grow`.

    Returns:
        ``rows`` that were trained on, known ``tokens``, mean ``length`` of a text; by step
        ``seconds`` and ``peaks_mb``, the most memory up to its end; ``peak_mb`` of all.
    """
    # Here, so that the process that only waits does not load them.
    import torch

    from textmetric.corpora import write
    from textmetric.grid import Family
    from textmetric.measures.evaluation import evaluate
    from textmetric.params import Model, Train
    from textmetric.splits import make_split
    from textmetric.text import tokenize_file
    from textmetric.training.loop import train

    seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}

    def step(name: str, run: Callable[[], _Made]) -> _Made:
        started = _processor_time()
        made = run()
        seconds[name] = _processor_time() - started
        # Not ru_maxrss: a process inherits the peak of the one that started it.
        peaks[name] = status("VmHWM")
        return made

    table = folder / "corpus.parquet"
    # reading, hashing, cleaning, cutting and writing
    given = folder if (folder / "test.csv").exists() else folder / "train.csv"
    made = partial(write, str(given), table, validation=0.0, test=TEST_SHARE, progress=False)
    step("read", made)
    tokenised = step(
        "tokenise",
        lambda: tokenize_file(table, max_size=tokens, folder=folder, progress=False),
    )
    split = step("split", partial(make_split, tokenised, scarce=[0], keep=0.9))
    rows = len(tokenised.train)
    del tokenised
    trained = step(
        "train",
        lambda: train(
            split,
            family=Family.CLASSIFICATION,
            objective={"name": "cross_entropy"},
            sampler="shuffled",
            model=Model(),
            settings=Train(epochs=1, window=window),
            seed=0,
            device=torch.device("cpu"),
        ),
    )
    embed = trained.model.embed
    test = step("embed", lambda: (embed(split.train.tokens), embed(split.test.tokens)))[1]
    step("measure", lambda: evaluate(test, split.test.labels, classes=len(split.label_names)))
    return {
        "rows": rows,
        "test_rows": len(split.test),
        "tokens": len(split.vocabulary) - 1,
        "length": float(split.train.tokens.lengths.mean()),
        "seconds": seconds,
        "peaks_mb": peaks,
        "peak_mb": max(peaks.values()),
    }


def _processor_time() -> float:
    """Seconds of the processor, so that whatever else runs on the machine counts less.

    Those of processes that have ended are counted, too.
    """
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main(folder: Path, tokens: int = 0, window: int | None = None) -> None:
    """Print what :func:`steps` finds, as JSON, compilation and imports not counted."""
    with tempfile.TemporaryDirectory() as small:
        for path in folder.glob("*.csv"):
            frame = pd.read_csv(path, nrows=WARM_ROWS, keep_default_na=False)
            frame.to_csv(Path(small) / path.name, index=False)
        steps(Path(small), tokens or None)
    print(json.dumps(steps(folder, tokens or None, window)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
