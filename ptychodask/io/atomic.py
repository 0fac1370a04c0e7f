"""Outputs that are either whole or absent: write under a temporary name beside the target, then rename.

A crash or an interrupt leaves the old output as it was. Renaming inside one folder is atomic on POSIX for a
file; a folder cannot be replaced in one step, so the old one is moved aside first and put back on failure.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import InputError
from .address import refuse_address

_LEFT = re.compile(r"\.(.+)\.[0-9a-f]{12}\.(part|old)")


def check_output(path: str | os.PathLike[str], overwrite: bool = False, suffix: str | None = None) -> Path:
    """Refuse an output that cannot be written, before any computing starts.

    Parameters
    ----------
    path : path-like
        File or folder to be written.
    overwrite : bool
        Allow an existing one.
    suffix : str, optional
        Expected ending, such as ``".tif"``, for which a path without any ending gets a hint.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If the output exists and ``overwrite`` is false, if its folder is absent or not writable, or if the
        path has no name or lacks the expected ending; and, even with ``overwrite``, a folder that is no Zarr group,
        because somebody's files are in it.
    """
    refuse_address(path)
    target = _check_place(path, overwrite, suffix)
    foreign = target.is_dir() and not target.is_symlink() and not (target / "zarr.json").exists()
    if foreign and any(target.iterdir()):
        raise InputError(f"output {target} is a folder with other files, which is not replaced: choose another name")
    return target


def _check_place(path: str | os.PathLike[str], overwrite: bool, suffix: str | None = None) -> Path:
    target = Path(path)
    if target.name in ("", ".."):
        raise InputError(f"output {str(path)!r} has no name: give a file or folder to write")
    if suffix is not None and target.suffix == "":
        raise InputError(f"output {target} has no ending: use {target.name}{suffix}")
    if not target.parent.is_dir():
        raise InputError(f"output folder {target.parent} does not exist: create it or choose another")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"output folder {target.parent} is not writable: choose another")
    try:  # rights do not tell of a read-only file system, nor hold back root
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"output folder {target.parent} is not writable ({error.strerror}): choose another") from None
    # a broken link counts as existing: writing would replace it
    if not overwrite and (target.exists() or target.is_symlink()):
        raise InputError(f"output {target} exists: use overwrite=True (--overwrite) or another name")
    return target


@contextmanager
def replacing(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that becomes ``path`` when the block ends without an error.

    The block makes a file or a folder at the path it is given, ``.name.<token>.part``; the token differs between any
    two writers, on whatever machines. On any error, an interrupt included, what it made is removed and an existing
    output stays as it was. :func:`heal` clears up after a killed process.

    Raises
    ------
    InputError
        As :func:`check_output`, and if another process made the output in the meantime.
    """
    target = _check_place(path, overwrite)
    part = _beside(target)
    try:
        yield part
        _rename(part, target, overwrite)
    except PermissionError as error:
        if error.filename is not None and Path(error.filename).parent != target.parent:
            raise  # some other file of the caller
        raise InputError(f"output {target} cannot be written ({error.strerror}): choose another folder") from error
    finally:
        remove(part)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.part")


def discard(path: Path) -> None:
    """Delete a folder that is either whole or absent, also to those who find it after a kill: see :func:`heal`."""
    part = _beside(path)
    try:
        path.replace(part)
    except FileNotFoundError:
        return
    shutil.rmtree(part, ignore_errors=True)


def heal(folder: Path) -> None:
    """Clear up after killed writers: unfinished outputs go, an old one that was moved aside comes back.

    Only for a folder in which nobody else writes.
    """
    for path in sorted(folder.iterdir()):
        match = _LEFT.fullmatch(path.name)
        if match is None:
            continue
        target = folder / match[1]
        if match[2] == "old" and not (target.exists() or target.is_symlink()):
            path.replace(target)
        else:
            remove(path)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder tree if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _rename(part: Path, target: Path, overwrite: bool) -> None:
    if not part.exists():
        raise FileNotFoundError(f"nothing was written at {part}")
    if not overwrite and (target.exists() or target.is_symlink()):
        raise InputError(f"output {target} appeared while it was being written: choose another name")
    if not (part.is_dir() or (target.is_dir() and not target.is_symlink())):
        part.replace(target)
        return
    old = part.with_suffix(".old")
    try:
        if target.exists() or target.is_symlink():
            target.replace(old)
        part.replace(target)
    except BaseException:
        if (old.exists() or old.is_symlink()) and not target.exists():
            old.replace(target)
        raise
    remove(old)
