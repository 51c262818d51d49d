"""Read and write files; readers never see a partly written file."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.types import PathLike

# An array where an archive is expected is an AttributeError or, from Python 3.11 on, a TypeError.
# Deeply nested JSON is a RecursionError.
_READ_ERRORS = (
    OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile,
    RecursionError,
)  # fmt: skip


@contextmanager
def replacing_file(path: PathLike) -> Iterator[Path]:
    """Yield a temporary file next to ``path``; on success it replaces ``path``, else it is removed.

    Creates the folders above ``path``. The temporary name keeps the suffix of ``path`` because
    some writers choose the format by it.

    Raises:
        UserError: the disk is full, or the folder is not writable.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=".writing-", suffix="".join(target.suffixes)
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(target, error) from error


@contextmanager
def replacing_folder(path: PathLike, *, within: PathLike | None = None) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``path`` on success; see :func:`replacing_file`.

    Args:
        path: the folder to replace.
        within: a folder that must contain ``path``, links resolved; None for no limit.

    Raises:
        UserError: ``path`` is outside ``within`` or contains the working directory, the disk is
            full, or the folder is not writable.
    """
    target = Path(path)
    _refuse_outside(target, within)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".writing-"))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if target.exists():
                shutil.rmtree(target)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise write_error(target, error) from error


def _refuse_outside(target: Path, within: PathLike | None) -> None:
    resolved, here = target.resolve(), Path.cwd()
    if resolved == here or resolved in here.parents:
        raise UserError(
            f"{target} contains the working directory, so it is not replaced: choose another folder"
        )
    if within is not None and Path(within).resolve() not in resolved.parents:
        raise UserError(f"{target} is outside {within}, so it is not replaced: check its name")


def write_error(path: PathLike, error: OSError) -> OSError | UserError:
    """The error to raise for a failed write: a ``UserError`` if the user can correct it."""
    # numpy reports a short write without an error number
    short = error.errno is None and "requested and" in str(error)
    if short or error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"no space left on the disk to write {path}: free some space and try again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(
            f"no permission to write {path}: make the folder writable or choose another"
        )
    return error


@contextmanager
def reading(path: PathLike, content: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise a ``UserError`` that names ``path`` if the block cannot read it.

    Args:
        path: the file that the block reads.
        content: what the file should hold, for the message.
        errors: exceptions that also mean that the file is damaged; those of Python's and numpy's
            readers are known.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except _READ_ERRORS + errors as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise damaged(path, f"cannot be read as {content} ({reason})") from None


def damaged(path: PathLike, problem: str) -> UserError:
    """The error for a file that must be written again: ``problem`` follows its name."""
    return UserError(f"{path} {problem}: write it again (in the pipeline: dvc repro)")


def write_json(path: PathLike, value: Any) -> None:
    """Write ``value`` as JSON, with keys in their order and NaN as null; same value, same bytes.

    Half a surrogate pair, which has no UTF-8, is written as its escape.
    """
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing_file(path) as temporary:
        # the escape of Python, \udXXX, is that of JSON
        temporary.write_bytes(f"{text}\n".encode("utf-8", "backslashreplace"))


def write_csv(path: PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; the header is the keys of the first row, NaN is an empty field."""
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as to:
        writer = csv.DictWriter(to, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    name: "" if isinstance(value, float) and math.isnan(value) else value
                    for name, value in row.items()
                }
            )


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or damaged.
    """
    with reading(path, "JSON"):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def write_arrays(path: PathLike, **arrays: npt.NDArray[Any]) -> None:
    """Write named arrays, uncompressed; same arrays, same bytes."""
    with replacing_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_arrays(path: PathLike) -> dict[str, npt.NDArray[Any]]:
    """Read what :func:`write_arrays` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    with reading(path, "named arrays"), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_array(path: PathLike, array: npt.NDArray[Any]) -> None:
    """Write one array as ``.npy``; same array, same bytes."""
    with replacing_file(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def map_array(path: PathLike, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Map what :func:`write_array` wrote into memory, read only.

    Args:
        path: the file.
        dtype: the type the array must have; it must also have one dimension.

    Raises:
        UserError: the file is missing or damaged, or its array has another type or shape.
    """
    with reading(path, "an array"):
        array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype != dtype or array.ndim != 1:
        raise damaged(
            path,
            f"holds {array.dtype} of shape {array.shape}, "
            f"expected {np.dtype(dtype)} of one dimension",
        )
    # The same mapping as a plain array: every operation on the memmap subclass is slower.
    return np.asarray(array)


def _finite(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
