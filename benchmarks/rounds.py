"""Timing two sides in turn: what a case is, how it is run, and what is reported.

Both sides are called once before the clock runs, so that imports, compilation and caches are not
counted; what compiling costs has a case of its own. Then they are called in turn, a pair a round,
so that whatever slows the machine slows both: the ratio is that of a pair, never of two medians.
Memory is measured in a call apart from the timed ones.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from threadpoolctl import threadpool_limits

from textmetric.errors import UserError

Side = Callable[[], object]

PACKAGES = (
    "numpy", "numba", "torch", "torchtext", "pandas", "pyarrow", "faiss-cpu", "scikit-learn",
    "openTSNE", "pytorch-metric-learning", "fasttext-wheel", "model2vec", "dvc",
)  # fmt: skip
_SAMPLED_EVERY = 0.02  # seconds between two looks at the memory of the processes of a side


@dataclass(frozen=True)
class Options:
    """What the command line asks of a part.

    Attributes:
        quick: small sizes, for a test and for a first look: a part takes half a minute at most.
        rounds: pairs to time.
        texts: a csv with the columns text and label, None for the docstrings.
    """

    quick: bool = False
    rounds: int = 5
    texts: str | None = None


@dataclass(frozen=True)
class Case:
    """Two ways to the same result.

    Attributes:
        part: the module of this folder that has the case.
        case: what is done, with its sizes.
        ours: our way.
        peer: what ``theirs`` is; empty if there is none. It may be named though it is not run, with
            a note that says why.
        theirs: the other way, None where there is nothing to compare with: ratios are then null.
        goal: the largest ratio ours / theirs we accept.
        note: what else must be said: what is excluded, what differs.
        check: given both results of the warm-up (the second None without a peer), says in a few
            words how they compare; raises AssertionError if the two did not do the same work.
        threads: that the numerical libraries may use on either side.
        calls: of a side in a round, for what takes no time; the seconds are those of one.
        memory: MiB of our and of their peak, where it is not that of the timed call; None in it
            where it cannot be measured, infinity where it is more than was allowed.
        long: takes minutes, so each side runs once: without a warm-up, and watched for its memory
            while it is timed.
        clock: seconds of what: the wall, or :func:`cpu_seconds`.
    """

    part: str
    case: str
    ours: Side
    peer: str = ""
    theirs: Side | None = None
    goal: float | None = None
    note: str = ""
    check: Callable[[Any, Any], str] | None = None
    threads: int = 1
    calls: int = 1
    memory: Callable[[], tuple[float | None, float | None]] | None = None
    long: bool = False
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Timing:
    """What was measured of a case.

    Attributes:
        ours: seconds of each round.
        theirs: seconds of each round; empty without a peer.
        ours_mb: MiB of peak resident memory above what was resident before; None if unknown.
        peer_mb: the same of the other side.
        checked: what the case's check said.
    """

    ours: list[float]
    theirs: list[float]
    ours_mb: float | None
    peer_mb: float | None
    checked: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours / theirs of each round; empty without a peer."""
        pairs = zip(self.ours, self.theirs, strict=bool(self.theirs))
        return [ours / theirs for ours, theirs in pairs]


def measure(case: Case, rounds: int) -> Timing:
    """Warm up, check, time in turn, measure memory.

    Args:
        case: what to run.
        rounds: pairs to time, at least 1; a long case is run once, whatever it says.

    Raises:
        UserError: the check found that the two sides did not do the same work.
    """
    sides = [case.ours] if case.theirs is None else [case.ours, case.theirs]
    seconds: list[list[float]] = [[] for _ in sides]
    results: list[object] = []
    memory: list[float | None] = []
    with threads(case.threads):
        for side, spent in zip(sides, seconds, strict=True):
            started = case.clock()
            result, peak = peak_memory(side) if case.long else (side(), None)
            if case.long:
                spent.append(case.clock() - started)
            results.append(result)
            memory.append(peak)
    checked = "" if case.check is None else _checked(case, *results)
    del result, results  # or their memory would count as resident before
    # Again: the warm-up may have loaded libraries.
    with threads(case.threads), _small_heap():
        for _ in range(0 if case.long else rounds):
            for side, spent in zip(sides, seconds, strict=True):
                spent.append(_seconds(side, case))
        if case.memory is not None:
            memory = [*case.memory()]
        elif not case.long:
            memory = [peak_memory(side)[1] for side in sides]
    ours, theirs = [*seconds, []][:2]
    ours_mb, peer_mb = [*memory, None][:2]
    return Timing(ours, theirs, ours_mb, peer_mb, checked)


def _checked(case: Case, ours: object, theirs: object = None) -> str:
    assert case.check is not None
    try:
        return case.check(ours, theirs)
    except AssertionError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{case.part}, {case.case}: the two sides did not do the same work ({reason}): "
            "their times would say nothing, so fix one of them"
        ) from error


def cpu_seconds() -> float:
    """Processor time of all threads of this process, and of its processes that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _seconds(side: Side, case: Case) -> float:
    gc.collect()  # not the other side's rubbish
    started = case.clock()
    for _ in range(case.calls):
        side()
    return (case.clock() - started) / case.calls


@contextmanager
def _small_heap() -> Iterator[None]:
    """Keep what is loaded now, of every peer at once, out of the garbage collections of a side."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have every numerical library that is loaded use this number of threads."""
    torch, numba = sys.modules.get("torch"), sys.modules.get("numba")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(count):
        if torch:
            torch.set_num_threads(count)
        if numba:
            numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def peak_memory(side: Side) -> tuple[object, float | None]:
    """Call a side and measure how much memory it takes at once.

    Processes that it starts count too, with shared pages counted once. They are sampled every few
    hundredths of a second, so a short peak of theirs can be missed; this process's cannot.

    Returns:
        What the side returned; the peak of resident memory above what was resident before, in
        MiB, None where the system does not report it (Linux does).
    """
    gc.collect()
    if not _forget_peak():
        return side(), None
    before = status("VmRSS")
    with _processes_watched() as growth:
        result = side()
    return result, max(status("VmHWM") - before, *growth)


def _forget_peak() -> bool:
    """Start a new peak at what is resident now; False where the system cannot."""
    # Freed memory that the allocator keeps would be used again unseen. With a C library that
    # cannot give it back the figure is a lower bound.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def status(key: str) -> float:
    """MiB of a line of /proc/self/status, NaN where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


@contextmanager
def _processes_watched() -> Iterator[list[float]]:
    """Sample the memory of this process with those it starts, while there are any.

    Yields:
        MiB above the memory at the beginning: 0, then one value a sample.
    """
    this = psutil.Process()
    # Some wait for work since long ago, such as joblib's: they count on both sides.
    before = _mib([this, *this.children(recursive=True)])
    growth, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(_SAMPLED_EVERY):
            if children := this.children(recursive=True):
                growth.append(_mib([this, *children]) - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield growth
    finally:
        stop.set()
        thread.join()


def _mib(processes: list[psutil.Process]) -> float:
    """MiB of processes; a page that n of them share counts 1/n in each (PSS)."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):  # it has ended
            total += process.memory_full_info().pss / 2**20
    return total


def record(case: Case, timing: Timing) -> dict[str, Any]:
    """A case as the JSON has it: medians of seconds, median and range of the paired ratios."""
    ratios = timing.ratios
    return {
        "part": case.part,
        "case": case.case,
        "ours_s": _digits(statistics.median(timing.ours)),
        "peer": case.peer or None,
        "peer_s": _digits(statistics.median(timing.theirs)) if ratios else None,
        "ratio": _digits(statistics.median(ratios)) if ratios else None,
        "ratio_min": _digits(min(ratios)) if ratios else None,
        "ratio_max": _digits(max(ratios)) if ratios else None,
        "ours_mb": None if timing.ours_mb is None else round(timing.ours_mb, 1),
        "peer_mb": None if timing.peer_mb is None else round(timing.peer_mb, 1),
        "goal": case.goal,
        "note": "; ".join(text for text in (timing.checked, case.note) if text),
    }


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def line(found: dict[str, Any]) -> str:
    """A record in one line of text."""
    text = f"{found['part']}: {found['case']}: {duration(found['ours_s'])}"
    if found["ratio"] is not None:
        text += (
            f", {found['peer']} {duration(found['peer_s'])}, ratio {found['ratio']:.3g} "
            f"({found['ratio_min']:.3g}-{found['ratio_max']:.3g})"
        )
        if found["goal"] is not None:
            kept = "kept" if found["ratio"] <= found["goal"] else "MISSED"
            text += f", goal {found['goal']:.3g} {kept}"
    memory = [mebibytes(found[key]) for key in ("ours_mb", "peer_mb") if found[key] is not None]
    text += f"; memory {' against '.join(memory)}" if memory else ""
    return text + (f"; {found['note']}" if found["note"] else "")


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them.

    >>> [duration(value) for value in (75.2, 1.234, 0.0123, 0.0000456)]
    ['75.2 s', '1.23 s', '12.3 ms', '45.6 µs']
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            break
    return f"{seconds * factor:.3g} {unit}"


def mebibytes(value: float) -> str:
    """Memory in a unit that suits it.

    >>> [mebibytes(value) for value in (1234.5, 12.34, math.inf)]
    ['1,234 MiB', '12.3 MiB', 'too much']
    """
    if math.isinf(value):
        return "too much"
    return f"{value:,.0f} MiB" if value >= 100 else f"{value:.1f} MiB"


def machine() -> str:
    """The machine and the versions that the figures depend on, in two lines."""
    try:
        names = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        names = []
    model = next((name.split(":")[1].strip() for name in names if "model name" in name), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{model or platform.machine()}, {cores} cores\n{', '.join(found)}"
