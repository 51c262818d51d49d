from __future__ import annotations

from pathlib import Path

import pytest

from textmetric.errors import UserError
from textmetric.grid import (
    ARMS,
    INITS,
    Arm,
    Family,
    Layout,
    Split,
    Training,
    known_role,
    moved,
    trainings,
)

SPLIT = Split("source", "source-open")
ARM = Arm(Family.CLASSIFICATION, "balanced")


def test_arms_are_every_family_with_every_sampler_and_are_parsed_as_they_are_spelt() -> None:
    names = ["cls_shuffled", "cls_balanced", "metric_shuffled", "metric_balanced"]
    assert [arm.name for arm in ARMS] == names
    assert [Arm.parse(name) for name in names] == list(ARMS)
    assert f"{ARM}" == "cls_balanced"
    with pytest.raises(UserError, match="'cls_shufled'; did you mean 'cls_shuffled'"):
        Arm.parse("cls_shufled")


def test_a_family_is_a_word_a_short_name_and_a_section() -> None:
    assert [(str(f), f.short, f.section) for f in Family] == [
        ("classification", "cls", "classification"),
        ("metric", "metric", "loss"),
    ]
    assert Family.parse("cls") is Family("classification") is Family.CLASSIFICATION
    assert INITS == ("cls", "metric", "scratch")
    with pytest.raises(UserError, match="unknown family 'metrics'; did you mean 'metric'"):
        Family.parse("metrics")


def test_an_unknown_role_lists_the_known() -> None:
    assert known_role("source") == "source"
    with pytest.raises(UserError, match=r"unknown role 'goal'.* Known: source, target"):
        known_role("goal")


@pytest.mark.parametrize("name", ["../..", "/tmp/x", "a/b", "", ".", "splits.json", "a" * 101])
def test_a_split_whose_name_is_no_folder_name_cannot_be_made(name: str) -> None:
    with pytest.raises(UserError, match="a name becomes a folder"):
        Split("target", name)


def test_paths_nest_by_family_role_split_sampler_and_seed() -> None:
    layout, training = Layout("root"), Training(ARM, SPLIT, 3)
    nested = "cls/source/source-open/balanced"
    assert layout.model(training) == Path(f"root/models/{nested}/seed-3")
    assert layout.embedding(training) == Path(f"root/data/embeddings/{nested}/seed-3.npz")
    assert layout.curve(ARM, SPLIT) == Path(f"root/data/curves/{nested}.csv")
    assert layout.cost(ARM, SPLIT) == Path(f"root/data/costs/{nested}.json")
    assert layout.record(ARM, SPLIT) == Path(f"root/data/measures/{nested}.json")
    assert layout.metric(ARM, SPLIT) == Path(f"root/metrics/{nested}.json")
    assert layout.map(ARM.family, SPLIT) == Path("root/data/tsne/cls/source/source-open.npz")
    assert layout.split(SPLIT) == Path("root/data/splits/source/source-open")


def test_every_file_of_a_training_lies_in_the_folder_that_its_stage_replaces() -> None:
    layout, training = Layout("root"), Training(ARM, SPLIT, 3)
    family, role = ARM.family, SPLIT.role
    for path, folder in (
        (layout.model(training), layout.models(family, role)),
        (layout.curve(ARM, SPLIT), layout.curves(family, role)),
        (layout.cost(ARM, SPLIT), layout.costs(family, role)),
        (layout.embedding(training), layout.embeddings(family)),
        (layout.record(ARM, SPLIT), layout.measures(family)),
        (layout.metric(ARM, SPLIT), layout.metrics(family)),
        (layout.map(family, SPLIT), layout.maps(family)),
        (layout.split(SPLIT), layout.splits),
        (layout.corpus(role), layout.raws),
        (layout.objective(family), layout.objectives),
    ):
        assert moved(path, folder, Path("new")) == Path("new") / path.relative_to(folder)


def test_no_two_trainings_share_a_path() -> None:
    splits = [Split(role, name) for role in ("target", "source") for name in ("a", "b")]
    cells = trainings(ARMS, splits, [0, 1])
    assert len(cells) == len(set(cells)) == 4 * 4 * 2
    for path in (Layout().model, Layout().embedding):
        assert len({path(cell) for cell in cells}) == len(cells)
    first = [(c.split.name, c.arm.name, c.seed) for c in cells[:3]]
    assert first == [("a", "cls_shuffled", 0), ("a", "cls_shuffled", 1), ("a", "cls_balanced", 0)]
