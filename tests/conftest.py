from __future__ import annotations

import os
from pathlib import Path

import pytest

# Processes of tests that share the processors (pytest-xdist) would wait for each other's threads.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of real text data sets named by TEXTMETRIC_DATASETS, else the test is skipped."""
    folder = os.environ.get("TEXTMETRIC_DATASETS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TEXTMETRIC_DATASETS does not name a folder with the real data sets")
    return Path(folder)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their type: packed ones hold the time, and all processes need one name."""
    return "bytes" if isinstance(val, bytes) else None
