"""Compiled code is kept on disk wherever there is a place for it; without one it is compiled in every process."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_config: Any = numba.config
_kept_in: set[str] = set()


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator as ``numba.njit(cache=True)``, for machines with any rights to write."""
    return lambda function: keep(numba.njit(**options)(function))


def keep(kernel: Any) -> Any:
    """Have the machine code of a kernel, which is not compiled yet, kept on disk.

    numba looks at ``NUMBA_CACHE_DIR``, beside the source and in the user's cache, and refuses where it may write to
    none of them. Then it is a private folder below the temporary one, or memory.
    """
    if _has_usual_place(kernel):
        try:
            kernel.enable_caching()
        except RuntimeError:  # no locator is available
            pass
        else:
            _kept_in.add("")
            return kernel
    folder = private_folder()
    before = _config.CACHE_DIR
    try:
        if folder is not None:
            _config.CACHE_DIR = str(folder)  # of these kernels only, not of others in this process
            kernel.enable_caching()
        _kept_in.add("memory" if folder is None else str(folder))
    except RuntimeError:
        _kept_in.add("memory")
    finally:
        _config.CACHE_DIR = before
    return kernel


def is_cold(kernel: Any) -> bool:
    """Will the next call of a kernel compile it, because it is neither in this process nor on disk?"""
    if kernel.signatures:
        return False
    # numba keeps them to itself; there is no file where nothing can be written
    file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    index = getattr(file, "_index_path", "")
    return not index or not Path(index).exists()


def _has_usual_place(kernel: Any) -> bool:
    """Without a home, numba would make a folder ``~`` in the working folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~")  # noqa: PTH111  # Path raises where there is none
    if _config.CACHE_DIR or Path(home).is_absolute():
        return True
    source = Path(_function(kernel).__code__.co_filename).parent
    beside = source / "__pycache__"
    return os.access(beside if beside.exists() else source, os.W_OK)


def _function(kernel: Any) -> Any:
    return kernel.py_func if hasattr(kernel, "py_func") else kernel._pyfunc


def private_folder() -> Path | None:
    """A folder of this user's below the temporary one, which nobody else can write to: machine code is run from it."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        folder = Path(tempfile.gettempdir()) / f"ptychodask-numba-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    others = stat.S_IMODE(found.st_mode) & 0o077
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and (found.st_uid != user or others)):
        return None
    return folder


def unusual_places() -> list[str]:
    """Where else than usual kernels of this process are kept: folders, or ``memory``."""
    return sorted(_kept_in - {""})
