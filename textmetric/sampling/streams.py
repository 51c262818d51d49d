"""Independent random streams of one seed, by the purpose of the draws. No torch."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from textmetric.errors import UserError


class Stream(IntEnum):
    """What is drawn at random, each from a stream of its own.

    The numbers are part of the result of a seed: never change one, and give a new purpose a new
    number.
    """

    WEIGHTS = 0
    """The first weights of the encoder, and of the objective's head or proxies."""
    BATCHES = 1
    """Batches, and the clusters of an objective that makes batches of clusters."""
    OBJECTIVE = 2
    """What an objective draws for a batch: negatives, noise, views."""
    VALIDATION = 3
    """The validation rows that the learning curve measures."""
    TRANSFER_WEIGHTS = 4
    """The first weights of the transfer's head, and of token vectors that the source lacks."""
    TRANSFER_ROWS = 5
    """The rows of a share of the target."""
    TRANSFER_BATCHES = 6
    DROPOUT = 7
    """The dropout of the transfer's head."""
    GROUPINGS = 8
    """How an ensemble groups the classes."""
    MEMBERS = 9
    """The seeds of an ensemble's members."""
    PRETRAINING = 10
    """The seed of the pre-training, whose batches and objective are streams of that seed."""
    SELECTION = 11
    """The rows that a learning rate is chosen on."""
    RESAMPLES = 12
    """The seeds of resampled splits, and of each the rows of its parts."""


def generator_of(seed: int, stream: Stream) -> np.random.Generator:
    """A generator at the start of a stream.

    Streams with different seeds or purposes are independent: numpy's ``SeedSequence`` hashes the
    two together.

    Args:
        seed: of the training, at least 0.
        stream: the purpose of the draws.

    Raises:
        UserError: ``seed`` is not a whole number of at least 0.
    """
    return np.random.default_rng(_sequence(seed, stream))


def seed_of(seed: int, stream: Stream) -> int:
    """A seed for the generator of another library, such as ``torch.manual_seed``.

    Args:
        seed: of the training, at least 0.
        stream: the purpose of the draws.

    Returns:
        A number below 2³², as large as the seeds of torch's generator on the CPU.

    Raises:
        UserError: ``seed`` is not a whole number of at least 0.
    """
    return int(_sequence(seed, stream).generate_state(1)[0])


def _sequence(seed: int, stream: Stream) -> np.random.SeedSequence:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"seed is {seed!r}, expected a whole number of at least 0")
    return np.random.SeedSequence(seed, spawn_key=(stream,))
