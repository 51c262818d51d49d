"""Reading and writing files; no reader ever sees half of one."""

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


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name next to ``path``; on success it becomes ``path``, else it is removed.

    Folders above ``path`` are made. The temporary name keeps the suffix of ``path``, since
    some writers choose the format by it.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
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
def replacing_folder(
    path: str | os.PathLike[str], *, within: str | os.PathLike[str] | None = None
) -> Iterator[Path]:
    """Like :func:`replacing_file`, for a whole folder: what was at ``path`` is replaced.

    Args:
        path: the folder to replace.
        within: a folder that ``path`` must lie in, links resolved; None for no limit.

    Raises:
        UserError: ``path`` lies outside ``within`` or holds the working directory, the disk is
            full, or the folder cannot be written.
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


def _refuse_outside(target: Path, within: str | os.PathLike[str] | None) -> None:
    resolved, here = target.resolve(), Path.cwd()
    if resolved == here or resolved in here.parents:
        raise UserError(
            f"{target} holds the working directory, so it cannot be replaced: choose another folder"
        )
    if within is not None and Path(within).resolve() not in resolved.parents:
        raise UserError(f"{target} lies outside {within}, so it is not replaced: check its name")


def write_error(path: str | os.PathLike[str], error: OSError) -> OSError | UserError:
    """The error to show for a failed write: one sentence where the user can do something."""
    # numpy reports a short write without an error number
    short = error.errno is None and "requested and" in str(error)
    if short or error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"no space left on the disk to write {path}: free some and run again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(
            f"no permission to write {path}: make the folder writable or choose another"
        )
    return error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as JSON: keys in their order, NaN as null; same value, same bytes."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV under a head of the first one's keys: NaN is an empty field."""
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


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): write it again") from None


def write_arrays(path: str | os.PathLike[str], **arrays: npt.NDArray[Any]) -> None:
    """Write named arrays, uncompressed; same arrays, same bytes."""
    with replacing_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read what :func:`write_arrays` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): write it again (dvc repro)") from None


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
