"""A disk that is really full: a tiny file system made for the test, where that is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny import corpus, trained
from textmetric.corpora import write as write_corpus
from textmetric.errors import UserError
from textmetric.files import replacing_folder, write_arrays, write_json
from textmetric.grid import Arm, Family
from textmetric.report.figures import tsne_panels

NUMBERS = np.random.default_rng(0).random((60_000, 2))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root: run the tests as root to have this")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


WITHOUT_SHARED_MEMORY = """
import sys
from textmetric import parallel
from textmetric.errors import UserError
from textmetric.files import replacing_folder
try:
    with replacing_folder(sys.argv[1]):
        parallel.run(print, [1, 2], workers=2, progress=False)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("option", "reason"), [("ro", "Read-only file system"), ("size=4k", "No space left on device")]
)
def test_shared_memory_that_cannot_be_used_is_not_taken_for_the_output(
    tmp_path: Path, option: str, reason: str
) -> None:
    fill = "(head -c 99999 /dev/zero > /dev/shm/a; true) 2> /dev/null"
    shell = f'mount -t tmpfs -o {option} tmpfs /dev/shm || exit 9; {fill}; "$@"'
    program = [sys.executable, "-c", WITHOUT_SHARED_MEMORY, str(tmp_path / "models")]
    finished = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, "sh", *program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 9 or finished.stderr.startswith("unshare:"):
        pytest.skip("mounting a small file system needs root: run the tests as root to have this")
    assert finished.stdout.startswith(f"processes cannot share memory ({reason}): ")


def write_model(folder: Path) -> None:
    model, _, _ = trained(epochs=1)
    model.vocabulary.tokens.extend(str(number) for number in range(60_000))
    model.save(folder / "model")


def write_table(folder: Path) -> None:
    with replacing_folder(folder / "raw") as temporary:
        pd.DataFrame(NUMBERS, columns=["a", "b"]).to_parquet(temporary / "corpus.parquet")


def write_texts(folder: Path) -> None:
    table = folder.with_name("table.csv")
    rows = [f"text {row} {'of some length ' * 20},{row % 2}\n" for row in range(20_000)]
    table.write_text("".join(["text,label\n", *rows]))
    write_corpus(str(table), folder / "corpus.parquet", progress=False)


def write_tokens(folder: Path) -> None:
    big = corpus(rows=3000)
    big.save(folder / "tokens")


def write_picture(folder: Path) -> None:
    labels = np.arange(len(NUMBERS)) % 9
    tsne_panels(
        folder / "a.png", {Arm(Family.METRIC, "balanced"): NUMBERS}, labels, list("abcdefghi")
    )


@pytest.mark.parametrize(
    "write",
    [
        write_model,
        write_table,
        write_texts,
        write_tokens,
        write_picture,
        lambda folder: write_arrays(folder / "a.npz", numbers=NUMBERS),
        lambda folder: write_json(folder / "a.json", NUMBERS),
    ],
    ids=["model", "table", "texts", "tokens", "picture", "arrays", "json"],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    write: Callable[[Path], None], small_disk: Path
) -> None:
    with pytest.raises(UserError, match="no space left on the disk to write"):
        write(small_disk)
    assert os.listdir(small_disk) == []
