"""The memory that one loss with its gradient may take, by autograd and compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# Each is measured in its own process, forked from one that has loaded everything. One thread,
# because the threads of a process do not survive a fork.
CODE = """
import json
from functools import partial

import torch

torch.set_num_threads(1)
from benchmarks.objectives import DIM, MANY_ROWS, batch, compiled_step, growth, ours
from textmetric.losses import OBJECTIVES

found = [MANY_ROWS, DIM, []]
forms = [{"name": name} for names in OBJECTIVES.values() for name in names]
forms += [
    {"name": "dvml", "base": "n_pair", "samples": 4},
    {"name": "n_pair", "pairs": "one_per_class"},
    {"name": "triplet", "miner": "all"},
]
for form in forms:
    objective, make = ours(form), partial(ours, form)
    found[2].append([form, "autograd", growth(make, objective.VIEWS)])
    if compiled_step(objective, *batch(8, objective.VIEWS)) is not None:
        found[2].append([form, "compiled", growth(make, objective.VIEWS, compiled_step)])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> tuple[int, int, list[tuple[dict[str, Any], str, float]]]:
    finished = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    rows, dim, sizes = json.loads(finished.stdout)
    return rows, dim, sizes


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is reset on Linux only")
def test_no_objective_takes_more_than_the_differences_of_all_pairs_of_rows(
    found: tuple[int, int, list[tuple[dict[str, Any], str, float]]],
) -> None:
    rows, dim, sizes = found
    differences = rows * rows * dim * 4 / 2**20  # (B, B, d) in single precision
    too_much = [entry for entry in sizes if not entry[2] <= differences]
    assert not too_much, f"more than {differences:.0f} MiB"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is reset on Linux only")
def test_the_measurement_sees_a_matrix_of_all_pairs(
    found: tuple[int, int, list[tuple[dict[str, Any], str, float]]],
) -> None:
    rows, _, sizes = found
    # Otherwise the test above could not fail.
    (contrastive,) = [size for form, _, size in sizes if form == {"name": "contrastive"}]
    assert contrastive >= rows * rows * 4 / 2**20
