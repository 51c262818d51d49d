from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textmetric.errors import UserError
from textmetric.files import read_arrays, write_arrays, write_json
from textmetric.params import Tsne
from textmetric.pipeline.project import map_splits
from textmetric.tsne.projection import sample_rows, tsne

ARMS = ["cls_balanced", "metric_balanced"]
SEEDS = [3, 5, 7]
CELLS = {"all": "target/all", "rare": "source/rare"}
SCARCE = {"all": [], "rare": [1, 2]}
SETTINGS = Tsne(points=20, seeds=2, perplexity=5)


def embeddings_of(split: str, arm: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([len(split), ARMS.index(arm), seed])
    return rng.normal(size=(40, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages split and embed leave, and the maps made of it."""
    root = tmp_path_factory.mktemp("maps")
    labels = np.repeat(np.arange(4, dtype=np.int32), 10)
    for split, cell in CELLS.items():
        write_json(
            root / "splits" / cell / "labels.json",
            {"names": list("abcd"), "scarce": SCARCE[split]},
        )
        for arm in ARMS:
            for seed in SEEDS:
                family, _, sampler = arm.partition("_")
                write_arrays(
                    root / f"embeddings/{family}/{split}/{sampler}/seed-{seed}.npz",
                    embeddings=embeddings_of(split, arm, seed),
                    labels=labels,
                )
    make(root)
    return root


def make(root: Path) -> None:
    map_splits(
        root / "embeddings",
        root / "splits",
        root / "maps",
        root / "plots",
        cells=CELLS,
        arms=ARMS,
        seeds=SEEDS,
        settings=SETTINGS,
        progress=False,
    )


@pytest.mark.parametrize("split", list(CELLS))
def test_every_map_is_that_of_its_own_split_arm_and_seed(folder: Path, split: str) -> None:
    found = read_arrays(folder / f"maps/{split}.npz")
    labels = np.repeat(np.arange(4), 10)
    rows = sample_rows(labels, 20, 0, keep=SCARCE[split])
    assert found["rows"].tolist() == rows.tolist()
    assert found["labels"].tolist() == labels[rows].tolist()
    assert found["seeds"].tolist() == SEEDS[:2]
    assert found["coordinates"].shape == (2, 2, len(rows), 2)
    scarce = np.flatnonzero(np.isin(labels, SCARCE[split]))
    assert found["scarce_labels"].tolist() == labels[scarce].tolist()
    for place, arm in enumerate(ARMS):
        for number, seed in enumerate(SEEDS[:2]):
            expected = tsne(embeddings_of(split, arm, seed)[rows], perplexity=5)
            np.testing.assert_array_equal(found["coordinates"][place, number], expected)
        expected = tsne(embeddings_of(split, arm, SEEDS[0])[scarce], perplexity=5)
        np.testing.assert_array_equal(found["scarce_coordinates"][place], expected)
    assert (folder / f"plots/{split}.png").stat().st_size > 1000


def test_it_writes_the_same_bytes_again_and_no_file_of_a_split_that_is_no_more(
    folder: Path,
) -> None:
    files = [*(folder / "maps").iterdir(), *(folder / "plots").iterdir()]
    before = {path: path.read_bytes() for path in files}
    assert len(before) == 4
    (folder / "maps/old.npz").touch()
    make(folder)
    after = [*(folder / "maps").iterdir(), *(folder / "plots").iterdir()]
    assert {path: path.read_bytes() for path in after} == before


def test_a_missing_model_is_named_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    for name in ("splits", "embeddings"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(UserError, match=r"metric/all/balanced/seed-9\.npz is missing"):
        map_splits(
            tmp_path / "embeddings",
            tmp_path / "splits",
            tmp_path / "maps",
            tmp_path / "plots",
            cells=CELLS,
            arms=ARMS[1:],
            seeds=[9],
            settings=SETTINGS,
            progress=False,
        )
    assert not (tmp_path / "maps").exists()
