"""Read and write files; readers never see a partly written file."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import fcntl
import json
import math
import mmap
import os
import shutil
import stat
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, cut
from textmetric.types import PathLike

# What Python's and numpy's readers raise for damaged files. An array where an archive is expected
# is an AttributeError or, from Python 3.11 on, a TypeError. Deeply nested JSON is a RecursionError.
# The header of an array is read by Python's own parser.
_READ_ERRORS = (
    OSError, ValueError, EOFError, LookupError, AttributeError, TypeError, zipfile.BadZipFile,
    RecursionError, OverflowError, SyntaxError, NotImplementedError, struct.error,
    tokenize.TokenError, zlib.error,
)  # fmt: skip


_TEMPORARY = ".textmetric-writing-"
"""What temporary names start with. .gitignore and .dvcignore name it: DVC must never see one."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)

_NO_PLACE = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)

_TRIES = 100  # to replace a folder that other processes replace too

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux


@contextmanager
def replacing_file(path: PathLike) -> Iterator[Path]:
    """Yield a temporary file next to ``path``; on success it replaces ``path``, else it is removed.

    Creates the folders above ``path``. The temporary name keeps the suffix of ``path`` because
    some writers choose the format by it. Temporaries that killed processes have left next to
    ``path`` are removed.

    Raises:
        UserError: the disk is full, or the folder is not writable.
    """
    target = Path(path)
    with _errors_of_writing(target):
        temporary, lock = _make_temporary(target, folder=False)
    try:
        with _errors_of_writing(target, temporary):
            yield temporary
        with _errors_of_writing(target):
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        os.close(lock)


@contextmanager
def temporary_file(folder: PathLike) -> Iterator[Path]:
    """Yield a new, empty file in a folder; at the end it is removed.

    Raises:
        UserError: the disk is full, or the folder is not writable.
    """
    with _errors_of_writing(Path(folder)):
        temporary, lock = _make_temporary(Path(folder, "file"), folder=False)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        os.close(lock)


@contextmanager
def replacing_folder(path: PathLike, *, within: PathLike | None = None) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``path`` on success; see :func:`replacing_file`.

    Where the system can exchange two folders, ``path`` is the old or the new one at any moment. A
    link to a folder stays a link.

    Args:
        path: the folder to replace.
        within: a folder that must contain ``path``, links resolved; None for no limit.

    Raises:
        UserError: ``path`` is outside ``within`` or contains the working directory, the disk is
            full, or the folder is not writable.
    """
    target = Path(path)
    _refuse_outside(target, within)
    place = target.resolve() if target.is_symlink() else target
    with _errors_of_writing(target):
        temporary, lock = _make_temporary(place, folder=True)
    try:
        with _errors_of_writing(target, temporary):
            yield temporary
        with _errors_of_writing(target):
            temporary.chmod(0o777 & ~_umask())
            _put(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def remove_stale(folder: PathLike, *, deep: bool = False) -> None:
    """Remove the temporaries that killed processes have left in a folder.

    A process holds a lock on its temporaries as long as it lives, so those of others at work stay.

    Args:
        folder: it may be missing.
        deep: look into the folders below it, too.
    """
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if name.startswith(_TEMPORARY):
                _remove_if_stale(os.path.join(where, name))
        folders[:] = [name for name in folders if deep and not name.startswith(_TEMPORARY)]


def _remove_if_stale(path: str) -> None:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone, a link, or another user's
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(os.fstat(lock).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:  # in use, or a file system without locks
        pass
    finally:
        os.close(lock)


def _make_temporary(target: Path, *, folder: bool) -> tuple[Path, int]:
    """A new temporary next to ``target``, and the descriptor that holds its lock until closed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not _in_temporary(target):
        remove_stale(target.parent)
    while True:
        if folder:
            name = tempfile.mkdtemp(dir=target.parent, prefix=_TEMPORARY)
        else:
            handle, name = tempfile.mkstemp(
                dir=target.parent, prefix=_TEMPORARY, suffix="".join(target.suffixes)
            )
            os.close(handle)
        try:
            lock = os.open(name, os.O_RDONLY)
        except FileNotFoundError:  # another process took it for a stale one before it was locked
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # the same
            os.close(lock)
            continue
        except OSError:  # a file system without locks: nobody can remove it as stale either
            pass
        if os.path.lexists(name):
            return Path(name), lock
        os.close(lock)


def _in_temporary(path: Path) -> bool:
    return any(part.startswith(_TEMPORARY) for part in path.parent.parts)


def _put(temporary: Path, target: Path) -> None:
    """Rename a folder to ``target``; what was there is gone or is at ``temporary``."""
    for _ in range(_TRIES):
        try:
            os.rename(temporary, target)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            occupied = error
        if _renameat2 is not None and not _renameat2(
            _AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE
        ):
            return
        shutil.rmtree(target, ignore_errors=True)  # other systems
    raise occupied


@contextmanager
def _errors_of_writing(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn an error of writing ``target`` into one for users, and let others pass.

    Args:
        target: for the message.
        temporary: what the block writes. An error about another file, such as one that it reads,
            is not about writing. None: every error is.
    """
    try:
        yield
    except OSError as error:
        if _in_temporary(target):
            raise  # the writer of the outermost one knows the final name
        if temporary is not None and not _below(temporary, error):
            raise
        raise write_error(target, error) from error


def _below(temporary: Path, error: OSError) -> bool:
    if isinstance(error.filename, str | bytes):
        path = Path(os.fsdecode(error.filename)).absolute()
        return path.is_relative_to(temporary.absolute())
    # A write to an open file names no file; it can fail for want of space, but not of permission.
    return error.errno not in _REFUSED


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
    if error.errno in _REFUSED:
        return UserError(
            f"no permission to write {path}: make the folder writable or choose another"
        )
    if error.errno in _NO_PLACE:
        return UserError(f"{path} cannot be written ({error.strerror}): choose another place")
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
        UserError: the file is missing or damaged, is a pipe or a device, or may not be read.
    """
    try:
        refuse_special(path)
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it (dvc repro)") from None
    except PermissionError:
        raise UserError(f"no permission to read {path}: make it readable") from None
    except _READ_ERRORS + errors as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise damaged(path, f"cannot be read as {content} ({reason})") from None


def refuse_special(path: PathLike) -> None:
    """Raise for what is no file: reading a pipe may wait for ever, and a device may never end.

    Raises:
        UserError: ``path`` is a pipe, a folder, a device or a socket.
        OSError: it is not there, or hidden.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        special = "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        kind = "a folder" if stat.S_ISDIR(mode) else special
        raise UserError(f"{path} is {kind}, not a file: give the path of a file")


def damaged(path: PathLike, problem: str) -> UserError:
    """The error for a file that must be written again: ``problem`` follows its name."""
    return UserError(f"{path} {problem}: write it again (in the pipeline: dvc repro)")


def write_json(path: PathLike, value: Any) -> None:
    """Write ``value`` as JSON, with keys in their order and NaN as null; same value, same bytes.

    Half a surrogate pair, which has no UTF-8, is written as its escape.
    """
    with replacing_file(path) as temporary:
        temporary.write_bytes(as_json(value))


def as_json(value: Any, *, indent: int | None = 2) -> bytes:
    """What :func:`write_json` writes, with a line end; without ``indent`` it is one line."""
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # the escape of Python, \udXXX, is that of JSON
    return f"{text}\n".encode("utf-8", "backslashreplace")


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
        UserError: the file is missing or damaged, has a key twice, or NaN or infinity as a value.
    """
    with reading(path, "JSON"):
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has the key {cut(repr(max(keys, key=keys.count)))} twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"it has {name}, which is no number of JSON")


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


def release(array: npt.NDArray[Any]) -> None:
    """Give the pages of a mapped array back to the system, which reads them again when touched.

    The system's cache of files may keep them, so that this is quick. No value changes, and nothing
    happens to an array that :func:`map_array` did not map.
    """
    base: Any = None if array.flags.writeable else array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


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
