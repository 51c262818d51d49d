"""How the project's loops are compiled: by numba, once on a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """``function`` compiled by numba when it is first called, and cached on disk.

    Partial sums of a reduction may be kept and products fused with sums. The interpreter's lock is
    given up while it runs, so threads may call it side by side.

    The cache stands beside the source or, where that folder cannot be written, in the user's
    own cache folder; where neither can be, every process compiles for itself. A cached function
    is not compiled again when a compiled function of *another file* that it calls has changed,
    so compiled functions call those of their own file only.
    """
    options: dict[str, Any] = {
        "fastmath": {"reassoc", "contract"},
        "error_model": "numpy",
        "nogil": True,
    }
    try:
        return cast(_Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba's word for: no folder for the cache
        return cast(_Function, numba.njit(**options)(function))
