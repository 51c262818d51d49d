from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from textmetric.corpora import load, load_roles, text_vectors
from textmetric.errors import UserError

VALUES = np.arange(240, dtype=np.float32).reshape(60, 4)


def table(rows: int = 60, first: int = 0) -> pd.DataFrame:
    """Text ``row <number>`` has the vector ``VALUES[number]``."""
    numbers = range(first, first + rows)
    return pd.DataFrame(
        {"text": [f"row {n} here" for n in numbers], "label": ["ab"[n % 2] for n in numbers]}
    )


def header(rows: int) -> bytes:
    """The start of an ``.npy`` file that promises this many rows."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 4), }}"
    return b"\x93NUMPY\x01\x00v\x00" + text.ljust(117).encode() + b"\n"


def assert_own_vectors(frame: pd.DataFrame, values: np.ndarray) -> None:
    """Assert that every text gets its own vector."""
    numbers = frame["text"].str.extract(r"row (\d+)")[0].astype(int).to_numpy()
    np.testing.assert_array_equal(values[frame["row"].to_numpy()], VALUES[numbers])


def test_a_file_next_to_a_table_brings_a_vector_for_each_row(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    np.save(tmp_path / "v.npy", VALUES)
    spec = {"path": str(tmp_path / "t.csv"), "vectors": "v.npy"}
    frame = load(spec).frame
    assert list(frame.columns) == ["text", "label", "row", "split"]
    assert_own_vectors(frame, text_vectors(spec))
    assert "row" not in load(str(tmp_path / "t.csv")).frame
    assert text_vectors(str(tmp_path / "t.csv")) is None


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_parquet_column_brings_a_vector_for_each_row(
    tmp_path: Path, kind: type[np.floating], fixed: bool
) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    rows = pa.array(list(VALUES.astype(kind)))
    if fixed:
        rows = pa.FixedSizeListArray.from_arrays(rows.flatten(), 4)
    columns = pa.Table.from_pandas(table()).append_column("emb", rows)
    # several row groups: several chunks of the column
    pyarrow.parquet.write_table(columns, tmp_path / "t.parquet", row_group_size=7)
    spec = {"path": str(tmp_path / "t.parquet"), "vectors": "emb"}
    assert_own_vectors(load(spec).frame, text_vectors(spec))


def test_a_folder_brings_the_vectors_of_train_validation_and_test(tmp_path: Path) -> None:
    for name, rows, first in (("train", 30, 0), ("valid", 10, 30), ("test", 20, 40)):
        frame = table(rows, first)
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    np.save(tmp_path / "all.npy", VALUES)
    spec = {"path": str(tmp_path), "vectors": "all.npy"}
    frame = load(spec).frame
    assert frame["split"].value_counts().to_dict() == {"train": 30, "test": 20, "validation": 10}
    assert_own_vectors(frame, text_vectors(spec))
    for file in tmp_path.glob("*.csv"):
        frame = pd.read_csv(file)
        numbers = frame["text"].str.extract(r"row (\d+)")[0].astype(int)
        frame.assign(emb=list(VALUES[numbers])).to_parquet(file.with_suffix(".parquet"))
        file.unlink()
    spec = {"path": str(tmp_path), "vectors": "emb"}
    assert_own_vectors(load(spec).frame, text_vectors(spec))


def test_rows_that_are_dropped_cut_or_limited_leave_every_text_its_own_vector(
    tmp_path: Path,
) -> None:
    frame = table()
    frame.loc[5, "text"] = frame.loc[3, "text"]  # repeated: one of the two is dropped
    frame.loc[[5], "label"] = frame.loc[3, "label"]
    mixed = np.random.default_rng(0).permutation(60)
    frame.iloc[mixed].to_csv(tmp_path / "t.csv", index=False)
    np.save(tmp_path / "v.npy", VALUES[mixed])
    spec = {"path": str(tmp_path / "t.csv"), "vectors": "v.npy"}
    for corpus in load_roles(spec, spec, limit=25):
        assert corpus.summary["duplicate_rows"] == 1
        assert (corpus.frame["split"] == "train").sum() == 25
        assert_own_vectors(corpus.frame, text_vectors(spec))


def test_empty_rows_that_are_left_out_leave_every_text_its_own_vector(tmp_path: Path) -> None:
    frame = table()
    frame.loc[[0, 7], "label"] = ""
    frame.loc[[8], "text"] = " "
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.save(tmp_path / "v.npy", VALUES)
    spec = {"path": str(tmp_path / "t.csv"), "vectors": "v.npy", "empty": "drop"}
    corpus = load(spec)
    assert corpus.summary["empty_rows"] == 3
    assert len(corpus.frame) == 57
    assert_own_vectors(corpus.frame, text_vectors(spec))


def test_a_pipe_is_no_file_of_vectors(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    os.mkfifo(tmp_path / "v.npy")
    with pytest.raises(UserError, match=r"v\.npy is a pipe, not a file"):
        load({"path": str(tmp_path / "t.csv"), "vectors": "v.npy"})


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("none.npy", None, "none.npy does not exist: put it next to the table"),
        ("v.npy", VALUES[:59], "has 60 rows, but v.npy 59 vectors: give one for each row"),
        ("v.npy", VALUES[:, 0], r"v.npy holds an array of float32 of shape \(60,\)"),
        ("v.npy", VALUES.astype(complex), "v.npy holds an array of complex128 of shape"),
        ("v.npy", VALUES.astype(str), "v.npy holds an array of <U32 of shape"),
        ("v.npy", b"PK\x05\x06" + bytes(18), "v.npy cannot be read as an array"),
        (
            "v.npy",
            b"\x93NUMPY\x01\x00v\x00{'shape': (".ljust(128),
            "v.npy cannot be read as an array",
        ),
        ("v.npy", header(10**30), "v.npy cannot be read as an array"),
        ("v.npy", header(10**18), "v.npy cannot be read as an array"),
        ("v.npy", b"no array", "v.npy cannot be read as an array"),
        ("emb", None, "only parquet tables have columns of vectors: name an .npy file"),
        ("", None, "vectors of a corpus must be the name of a column or of an .npy file"),
        (3, None, "vectors of a corpus must be the name of a column or of an .npy file"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, name: Any, values: Any, said: str) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    if isinstance(values, bytes):
        (tmp_path / name).write_bytes(values)
    elif values is not None:
        np.save(tmp_path / name, values)
    with pytest.raises(UserError, match=said):
        load({"path": str(tmp_path / "t.csv"), "vectors": name})


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([[1.0, 2.0]] * 59 + [[1.0]], "does not hold as many numbers in every row"),
        ([[1.0, 2.0, 3.0], [1.0]] * 30, "does not hold as many numbers in every row"),
        ([[1.0, None]] * 60, "does not hold as many numbers in every row"),
        ([["a", "b"]] * 60, "does not hold as many numbers in every row"),
        ([[1.0, 2.0]] * 59 + [None], "expected a list of numbers in each row"),
        ([1.0] * 60, "holds double, expected a list of numbers in each row"),
    ],
)
def test_a_column_that_holds_no_vectors_is_refused(
    tmp_path: Path, column: list[Any], said: str
) -> None:
    path = tmp_path / "t.parquet"
    table().assign(emb=column).to_parquet(path)
    with pytest.raises(UserError, match=said):
        load({"path": str(path), "vectors": "emb"})
    with pytest.raises(UserError, match="has no column 'embs'; its columns are"):
        load({"path": str(path), "vectors": "embs"})


def test_a_built_in_corpus_brings_none() -> None:
    with pytest.raises(UserError, match="unknown corpus key 'vectors'"):
        load({"name": "docstrings", "vectors": "v.npy"})
