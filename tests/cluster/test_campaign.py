"""A trial of ``make kills`` on a few stages of the pipeline."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

pytest.importorskip("distributed", reason="Dask is not installed: make cluster")

from tests.cluster.campaign import after_kill
from tests.endurance.trials import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("cluster"), ["embed@cls"], [])
    yield project
    project.close()


def test_the_pipeline_gives_the_same_where_a_worker_is_killed_and_none_sees_its_folder(
    project: Project,
) -> None:
    seconds = project.runs[-1, -1].seconds / 2
    assert after_kill(project, seconds, random.Random(0), stored=True) == ""
