"""Named arrays in one ``.npz`` file: the one reader and the one writer."""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError
from textmetric.files import replacing_file


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
