"""Which way to train is better on a user's own labelled texts: classification or metric learning?

:func:`compare` trains the encoder of :class:`.TextEmbedder` both ways on resampled splits and gives
a verdict with an interval. docs/compare.md explains how to read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from textmetric import parallel
from textmetric.compare.comparison import Comparison
from textmetric.compare.learners import (
    ARMS,
    LEARNING_RATES,
    Arm,
    Job,
    OfSplit,
    compile_for,
    on_split,
)
from textmetric.compare.prior import prior_of
from textmetric.compare.purposes import PURPOSES, by_name
from textmetric.compare.table import read_table
from textmetric.errors import UserError
from textmetric.sampling.streams import Stream, generator_of

__all__ = ["ARMS", "PURPOSES", "SPLITS", "Arm", "Comparison", "compare"]

SPLITS = 10
FEWEST_SPLITS = 5


def compare(
    texts: Iterable[str],
    labels: Sequence[Any],
    purpose: str = "classify",
    *,
    splits: int = SPLITS,
    arms: Sequence[Arm] = ARMS,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Compare metric learning with classification on labelled texts.

    Each split draws its own train, validation and test rows (for ``new-classes``: classes), and
    its own seed of weights and batches. On each, every arm is trained with each learning rate on
    the train part; the validation part chooses the learning rate of an arm, and the arm of a
    family, by the measure that the purpose is about; the test part is measured for what was chosen.
    The interval is that of the corrected resampled t test, see :func:`.paired_difference`. With the
    default arms, a rule says before the trainings what to expect, see :func:`.prior_of`.

    Args:
        texts: n texts.
        labels: n labels; None, NaN, the number -1 and an empty string mark a row without one, which
            is left out. See :func:`.read_table` for what else is left out.
        purpose: what the embeddings are for: ``classify``, ``retrieval``, ``cluster``,
            ``new-classes`` or ``few-labels``.
        splits: how many, at least 5.
        arms: what to train; both families.
        seed: of the splits; same seed, same result.
        workers: number of processes; None for one a core.
        progress: show a progress bar.

    Raises:
        UserError: see :func:`.read_table`; an unknown purpose, too few splits, arms of one family,
            or too few classes for the purpose.
    """
    started, cpu = time.perf_counter(), time.process_time()
    wanted = by_name(purpose)
    if splits < FEWEST_SPLITS:
        raise UserError(f"splits is {splits}, expected at least {FEWEST_SPLITS}: {SPLITS} is usual")
    if len({arm.family for arm in arms}) < 2:
        raise UserError(
            "arms are of one family, expected some of both: add a classification or a metric one"
        )
    table = read_table(texts, labels)
    wanted.check(table.corpus)
    seeds = generator_of(seed, Stream.RESAMPLES).integers(1 << 32, size=splits).tolist()
    prior = prior_of(table.corpus, wanted.name, seeds[0]) if tuple(arms) == ARMS else None
    compile_for(tuple(arms))
    cpu = time.process_time() - cpu
    found = parallel.run(
        _timed,
        [Job(table.corpus, wanted, tuple(arms), each) for each in seeds],
        workers=workers,
        ticks=1 + len(arms) * len(LEARNING_RATES),
        label=wanted.name,
        unit="training",
        progress=progress,
    )
    return Comparison(
        purpose=wanted,
        classes=table.corpus.label_names,
        rows=len(table.corpus.train),
        given=table.given,
        left_out=table.left_out,
        arms=tuple(arms),
        seeds=seeds,
        splits=[split for split, _ in found],
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=cpu + sum(seconds for _, seconds in found),
        prior=prior,
    )


def _timed(job: Job, tick: Callable[[], None]) -> tuple[OfSplit, float]:
    """The measures of a split, and the processor time that they took, wherever that is."""
    cpu = time.process_time()
    return on_split(job, tick), time.process_time() - cpu
