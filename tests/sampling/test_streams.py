from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from textmetric.errors import UserError
from textmetric.sampling.streams import Stream, generator_of, seed_of

OF_SEVEN = {
    "WEIGHTS": 1201125462,
    "BATCHES": 3618983171,
    "PRETRAINING": 365987567,
    "SELECTION": 199829066,
    "OBJECTIVE": 3831650445,
    "VALIDATION": 3842200183,
    "TRANSFER_WEIGHTS": 1956387801,
    "TRANSFER_ROWS": 1370054118,
    "TRANSFER_BATCHES": 3982170502,
    "DROPOUT": 948622859,
    "GROUPINGS": 2297445310,
    "MEMBERS": 3830915925,
    "RESAMPLES": 3193982774,
}
PAIRS = list(itertools.product(range(21), Stream))


def test_no_two_streams_of_any_seeds_begin_alike() -> None:
    starts = [tuple(generator_of(seed, stream).integers(1 << 32, size=2)) for seed, stream in PAIRS]
    starts += [tuple(np.random.default_rng(seed).integers(1 << 32, size=2)) for seed in range(21)]
    assert len(set(starts)) == len(PAIRS) + 21


def test_no_two_streams_seed_torch_alike() -> None:
    seeds = [seed_of(seed, stream) for seed, stream in PAIRS]
    starts = {torch.Generator().manual_seed(seed).get_state().numpy().tobytes() for seed in seeds}
    assert len(starts) == len(PAIRS)
    assert all(0 <= seed < 1 << 32 for seed in seeds)


def test_streams_of_one_seed_are_uncorrelated() -> None:
    draws = np.stack([generator_of(0, stream).random(10_000) for stream in Stream])
    between = np.corrcoef(draws)[~np.eye(len(Stream), dtype=bool)]
    assert np.abs(between).max() < 0.05  # five standard deviations


def test_a_stream_does_not_change_between_versions() -> None:
    assert {stream.name: seed_of(7, stream) for stream in Stream} == OF_SEVEN
    assert generator_of(7, Stream.BATCHES).permutation(6).tolist() == [1, 5, 3, 0, 4, 2]


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
def test_a_seed_that_is_no_whole_number_is_named(seed: object) -> None:
    with pytest.raises(UserError, match=r"^seed is .*, expected a whole number of at least 0$"):
        seed_of(seed, Stream.WEIGHTS)  # type: ignore[arg-type]
