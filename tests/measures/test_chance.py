from __future__ import annotations

import numpy as np
import pytest

from textmetric.measures.chance import random_map_at_r


@pytest.mark.parametrize("rows", [[5, 3, 12], [2, 2], [30, 1, 4]])
def test_it_is_the_mean_over_random_rankings(rows: list[int]) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(range(len(rows)), rows)
    for label, size in enumerate(rows):
        query = int(np.flatnonzero(labels == label)[0])
        others, total = np.delete(labels, query), []
        for _ in range(4000 * (size > 1)):
            hits = (random.permutation(others) == label)[: size - 1]
            precision = np.cumsum(hits) / np.arange(1, size)
            total.append((precision * hits).sum() / (size - 1))
        expected = random_map_at_r(np.array(rows))[label]
        if size == 1:
            assert np.isnan(expected)
        else:
            error = np.std(total) / np.sqrt(len(total))
            assert abs(np.mean(total) - expected) < 4 * error + 1e-12
