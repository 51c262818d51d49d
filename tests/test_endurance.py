"""A few trials of ``make endurance``, on one stage of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.endurance.trials import Project, campaign


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("endurance"), ["fingerprint"], [])
    yield project
    project.close()


def test_a_killed_run_is_finished_by_the_next(project: Project) -> None:
    trials = list(campaign(project, {"operation": 2}))
    assert [(trial.kind, trial.problem) for trial in trials] == [("operation", "")] * 2
