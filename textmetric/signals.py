"""Ctrl-C, SIGTERM and the end of a parent process, from the first line of a program on.

This module imports nothing slow, so that a program can call :func:`answer_at_once` before its
other imports.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

AFTER_INTERRUPT = "nothing half-written is left, run the same command to start it again"
"""What the message says after "interrupted: "."""

FAILED = 2
"""The exit status of a command that a user's mistake, a full disk or a signal has ended."""

_NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't allocate memory")
"""What the loader of libraries says without memory."""
_TIDYING = 10.0  # seconds
_raised = -math.inf  # when an interrupt was raised last

_BOTH = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
# Found before any fork: a forked child of a process with threads should not load libraries.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def answer_at_once(*, by_signal: bool = False) -> None:
    """Until :func:`raise_interrupts`: a signal ends the process with one sentence and status 2.

    For the time of the imports, where an exception could come up anywhere. So does memory that is
    too small for the libraries. A stage that DVC has started also ends when DVC does, as by
    SIGTERM.

    Args:
        by_signal: end with one word and the status that shells expect, 128 + the signal's number.
    """
    _handle(_leave_by_signal if by_signal else _leave)
    sys.excepthook = _explain
    if os.getenv("DVC_STAGE"):
        end_with_parent(signal.SIGTERM)


def raise_interrupts() -> None:
    """From now on a signal raises ``KeyboardInterrupt(number)``; those soon after it are ignored.

    So nothing interrupts the removal of what is half-written: a process may well get SIGINT from
    the terminal and SIGTERM from its parent. A later one raises again, in case that the first was
    lost in code that cannot be interrupted, such as a finaliser.
    """
    _handle(_raise_interrupt)


def end_with_parent(number: signal.Signals) -> None:
    """Get the signal ``number`` when the thread that started this process ends; Linux only."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(number))


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back during the block: for processes that it forks, see :func:`as_worker`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BOTH)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_worker() -> None:
    """In a process that was started in :func:`held`: its parent ends it, and Ctrl-C does not.

    Ctrl-C reaches all processes of the group.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BOTH)
    end_with_parent(signal.SIGKILL)


def _handle(handler: Any) -> None:
    for number in _BOTH:
        # A shell's background jobs ignore Ctrl-C, and nohup may have reasons of its own.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(number: int, frame: Any) -> NoReturn:
    os.write(2, f"error: interrupted: {AFTER_INTERRUPT}\n".encode())
    os._exit(FAILED)


def _leave_by_signal(number: int, frame: Any) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def _explain(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Say what ended the imports; other faults keep their traceback."""
    if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in _NO_MEMORY):
        sys.__excepthook__(kind, error, trace)
        return
    reason = " ".join(str(error).split())[:200] or kind.__name__
    message = f"memory ran out while libraries were loaded ({reason}): allow more (ulimit -v)"
    os.write(2, f"error: {message}\n".encode())
    os._exit(FAILED)


def _raise_interrupt(number: int, frame: Any) -> None:
    global _raised
    now = time.monotonic()
    if now - _raised > _TIDYING:
        _raised = now
        raise KeyboardInterrupt(number)
