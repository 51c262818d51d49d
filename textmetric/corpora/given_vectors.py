"""The vectors that a user's table brings for its texts, a row each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from textmetric.corpora import readers
from textmetric.errors import UserError
from textmetric.files import refuse_special

if TYPE_CHECKING:
    import pyarrow as pa

Values = npt.NDArray[Any]


def check_rows(path: Path, vectors: str, *, rows: int) -> None:
    """Check that a table brings a vector for each of its rows.

    Args:
        path: the table, or the folder of tables.
        vectors: see :func:`read`.
        rows: of the table, with those that were dropped.

    Raises:
        UserError: there is not one vector for each row.
    """
    values = read(path, vectors)
    if len(values) != rows:
        raise UserError(
            f"{path} has {rows} rows, but {vectors} {len(values)} vectors: give one for each "
            "row, in the same order"
        )


def read(path: Path, vectors: str) -> Values:
    """The vectors (n, width) of the n rows of a table, of any type of number.

    Args:
        path: the table; or a folder of tables, whose rows are those of train, validation and test,
            one after another.
        vectors: an ``.npy`` file next to the table or in the folder, which is mapped into memory;
            or a column of lists, all of one length, of parquet tables.

    Raises:
        UserError: the file or column is missing, or does not hold such vectors.
    """
    if vectors.endswith(".npy"):
        file = (path if path.is_dir() else path.parent) / vectors
        try:
            refuse_special(file)
            values: Values = np.lib.format.open_memmap(file, mode="r")
        except FileNotFoundError:
            raise UserError(f"{file} does not exist: put it next to the table {path}") from None
        except UserError:
            raise
        except Exception as error:  # a damaged header raises what Python's tokenizer does
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{file} cannot be read as an array ({reason}): write it again with numpy.save"
            ) from None
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise UserError(
                f"{file} holds an array of {values.dtype} of shape {values.shape}, expected numbers"
                " of shape (rows, width): give a vector for each row"
            )
        return np.asarray(values)
    parts = [_column(table, vectors) for _, table in readers.tables(path)]
    if len({part.shape[1] for part in parts}) > 1:
        raise UserError(
            f"the tables of {path} have vectors of different widths in the column {vectors!r}: "
            "give them one width"
        )
    return np.concatenate(parts)


def _column(path: Path, name: str) -> Values:
    import pyarrow as pa

    if not path.name.lower().removesuffix(".gz").endswith(".parquet"):
        raise UserError(
            f"vectors of the corpus {path} is {name!r}, but only parquet tables have columns of "
            "vectors: name an .npy file next to the table"
        )
    lists = readers.parquet_columns(readers.read_bytes(path), path, [name])[name].combine_chunks()
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(lists.type) for is_kind in kinds) or lists.null_count or not len(lists):
        raise UserError(
            f"column {name!r} of {path} holds {lists.type}, expected a list of numbers in each row"
        )
    values = lists.flatten()
    if values.null_count or not _are_numbers(values.type) or len(values) % len(lists):
        raise _uneven(path, name)
    if pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type):
        lengths = np.diff(lists.offsets.to_numpy())
        if (lengths != lengths[0]).any():
            raise _uneven(path, name)
    found: Values = values.to_numpy(zero_copy_only=False)
    return found.reshape(len(lists), -1)


def _are_numbers(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _uneven(path: Path, name: str) -> UserError:
    return UserError(
        f"column {name!r} of {path} does not hold as many numbers in every row: give every text a "
        "vector of the same width"
    )
