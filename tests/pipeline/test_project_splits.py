from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.files import read_arrays, write_arrays, write_json
from textmetric.grid import Arm, Family, Layout, Split, Training, trainings
from textmetric.params import Tsne
from textmetric.pipeline.project_splits import project_splits
from textmetric.tsne.projection import sample_rows, tsne

ARMS = [Arm(Family.METRIC, "shuffled"), Arm(Family.METRIC, "balanced")]
SEEDS = [3, 5, 7]
SPLITS = [Split("target", "all"), Split("source", "rare")]
SCARCE = {"all": [], "rare": [1, 2]}
SETTINGS = Tsne(points=20, seeds=2, perplexity=5)


def embeddings_of(training: Training) -> np.ndarray:
    place = [len(training.split.name), ARMS.index(training.arm), training.seed]
    return np.random.default_rng(place).normal(size=(40, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """What the stages split and embed leave, and the maps made of it."""
    layout = Layout(tmp_path_factory.mktemp("maps"))
    labels = np.repeat(np.arange(4, dtype=np.int32), 10)
    for split in SPLITS:
        write_json(
            layout.split(split) / "labels.json",
            {"names": list("abcd"), "scarce": SCARCE[split.name]},
        )
    for training in trainings(ARMS, SPLITS, SEEDS):
        write_arrays(layout.embedding(training), embeddings=embeddings_of(training), labels=labels)
    make(layout)
    return layout


def make(layout: Layout, seeds: list[int] = SEEDS) -> None:
    project_splits(
        layout,
        Family.METRIC,
        splits=SPLITS,
        arms=ARMS,
        seeds=seeds,
        settings=SETTINGS,
        progress=False,
    )


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_every_map_is_that_of_its_own_split_arm_and_seed(layout: Layout, split: Split) -> None:
    found = read_arrays(layout.map(Family.METRIC, split))
    labels = np.repeat(np.arange(4), 10)
    rows = sample_rows(labels, 20, 0, keep=SCARCE[split.name])
    assert found["rows"].tolist() == rows.tolist()
    assert found["labels"].tolist() == labels[rows].tolist()
    assert found["seeds"].tolist() == SEEDS[:2]
    assert found["arms"].tolist() == [arm.name for arm in ARMS]
    assert found["coordinates"].shape == (2, 2, len(rows), 2)
    scarce = np.flatnonzero(np.isin(labels, SCARCE[split.name]))
    assert found["scarce_labels"].tolist() == labels[scarce].tolist()
    for place, arm in enumerate(ARMS):
        for number, seed in enumerate(SEEDS[:2]):
            expected = tsne(embeddings_of(Training(arm, split, seed))[rows], perplexity=5)
            np.testing.assert_array_equal(found["coordinates"][place, number], expected)
        expected = tsne(embeddings_of(Training(arm, split, SEEDS[0]))[scarce], perplexity=5)
        np.testing.assert_array_equal(found["scarce_coordinates"][place], expected)


def test_it_writes_the_same_bytes_again_and_no_file_of_a_split_that_is_gone(
    layout: Layout,
) -> None:
    folder = layout.maps(Family.METRIC)
    before = {path: path.read_bytes() for path in folder.rglob("*.npz")}
    assert len(before) == 2
    (folder / "target/old.npz").touch()
    make(layout)
    assert {path: path.read_bytes() for path in folder.rglob("*.npz")} == before


def test_a_missing_model_is_named_and_nothing_is_written(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("splits", "embeddings"):
        (tmp_path / "data" / name).symlink_to(layout.root / "data" / name)
    with pytest.raises(UserError, match=r"metric/target/all/shuffled/seed-9\.npz is missing"):
        make(Layout(tmp_path), seeds=[9])
    assert not (tmp_path / "data/tsne").exists()


def test_a_family_without_an_arm_leaves_an_empty_folder(layout: Layout, tmp_path: Path) -> None:
    project_splits(
        Layout(tmp_path), Family.CLASSIFICATION, splits=SPLITS, arms=[], seeds=SEEDS,
        settings=SETTINGS, progress=False,
    )  # fmt: skip
    assert list((tmp_path / "data/tsne/cls").iterdir()) == []
