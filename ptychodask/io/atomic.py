"""The one place that replaces anything: an output is whole or absent, and only our own ever makes room for it.

A link stands for what is behind it: it is resolved first, then everything happens at the resolved place, and the link
stays. Outputs are written under a temporary name beside their place, then renamed, so that a crash or an interrupt
leaves the old one as it was. Renaming inside one folder is atomic on POSIX for a file; a folder cannot be replaced in
one step, so the old one is moved aside first and put back on failure.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .._errors import InputError
from .address import refuse_address
from .kinds import Kind, noun_at

_LEFT = re.compile(r"\.(.+)\.[0-9a-f]{12}\.(part|old)")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_WRITING = (*_FULL, errno.EFBIG, errno.EROFS)
"""Errors that reading does not have, so they are the output's even where they name no file."""


def resolved(path: str | os.PathLike[str]) -> Path:
    """The place behind all links of a path, whose last part need not exist.

    Raises
    ------
    InputError
        If links lead in a circle, or no file system can have such a path.
    """
    try:
        place = Path(os.path.realpath(path))
        circle = next((part for part in (place, *place.parents) if part.is_symlink()), None)
        if circle is None:
            with suppress(FileNotFoundError):
                hidden_beside(place).lstat()  # the longest name that will be written
    except (OSError, ValueError) as error:
        text = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"the path {str(path)!r} cannot be used ({text}): choose another name") from None
    if circle is not None:
        raise InputError(f"{path} is a link that leads back to itself at {circle}: choose another name")
    return place


def check_output(path: str | os.PathLike[str], kind: Kind, overwrite: bool = False) -> Path:
    """Refuse an output that cannot be written, before any computing starts.

    Parameters
    ----------
    path : path-like
        File or folder to be written. A link means what it leads to, which is made where it is absent.
    kind : Kind
        What will be written. Only what is of the same kind makes room for it, or an empty folder or file.
    overwrite : bool
        Replace an existing one.

    Returns
    -------
    Path
        Where it will be written, without links.

    Raises
    ------
    InputError
        If the output exists and ``overwrite`` is false; if something else stands there, even with ``overwrite``; if
        it is inside a dataset or result; if its folder is absent or not writable; or if the path has no name or
        lacks the ending of its kind.
    """
    refuse_address(path)
    given = Path(path)
    if given.name in ("", ".."):
        raise InputError(f"output {str(path)!r} has no name: give a file or folder to write")
    if kind.ending and not given.suffix:
        raise InputError(f"output {given} has no ending: use {given.name}{kind.ending}")
    target = resolved(given)
    check_folder(target.parent)
    check_outside(target)
    _check_standing(target, kind, overwrite)
    return target


def check_outside(target: Path) -> None:
    """Refuse an output inside a dataset or a result, which would be part of it."""
    for parent in target.parents:
        if noun := noun_at(parent):
            raise InputError(f"output {target} is inside {parent}, {noun}: choose a place beside it")


def check_folder(folder: Path) -> None:
    """Refuse the folder of an output if nothing can be made in it."""
    if not folder.is_dir():
        raise InputError(f"output folder {folder} does not exist: create it or choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"output folder {folder} is not writable: choose another")
    try:  # rights do not tell of a read-only file system, nor hold back root
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"output folder {folder} is not writable ({error.strerror}): choose another") from None


def _check_standing(target: Path, kind: Kind, overwrite: bool) -> None:
    """Refuse to write where something stands that is not to be replaced."""
    if not target.exists():
        return
    try:
        other = kind.other(target)
        fixed = None if other else next((f for f, *_ in os.walk(target) if not os.access(f, os.W_OK | os.X_OK)), None)
    except OSError as error:
        raise InputError(f"output {target} exists and cannot be read ({error.strerror}): choose another name") from None
    if other is not None:
        instead = "" if other.startswith(kind.noun) else f", not {kind.noun}"
        raise InputError(f"output {target} exists and is {other}{instead}: choose another name")
    if not overwrite:
        raise InputError(f"output {target} exists: use overwrite=True (--overwrite) or another name")
    if fixed is not None:
        raise InputError(f"output {target} exists, and {fixed} in it cannot be removed: choose another name")


@contextmanager
def replacing(path: str | os.PathLike[str], kind: Kind | None, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside an output that becomes the output when the block ends without an error.

    The block makes a file or a folder at the path it is given, ``.name.<token>.part``; the token differs between any
    two writers, on whatever machines. On any error, an interrupt included, what it made is removed and an existing
    output stays as it was. :func:`heal` clears up after a killed process.

    Parameters
    ----------
    path, kind, overwrite
        As for :func:`check_output`. Without a kind the name is ours alone, such as those in a run's folder.

    Raises
    ------
    InputError
        As :func:`check_output`, and if something else stands there in the meantime.
    """
    target = Path(path) if kind is None else check_output(path, kind, overwrite)
    part = hidden_beside(target)
    try:
        yield part
        if kind is not None:
            _check_standing(target, kind, overwrite)  # it may have appeared while the block ran
        _rename(part, target)
    finally:
        with suppress(OSError):  # it must not hide what went wrong
            remove(part)


@contextmanager
def writing(path: str | os.PathLike[str], kind: Kind, overwrite: bool = False) -> Iterator[Path]:
    """As :func:`replacing`, and trouble of the disk is one line, for outputs of which nothing can be resumed.

    Raises
    ------
    OSError
        If the output cannot be written to its end. One about another file comes as it is.
    """
    target = resolved(path)
    try:
        with replacing(path, kind, overwrite) as part:
            yield part
    except OSError as error:
        named = f".{target.name}." in str(error.filename)
        if error.errno is None or not (named or (error.filename is None and error.errno in _OF_WRITING)):
            raise
        remedy = "make room, then try again" if error.errno in _FULL else "choose another folder, or mend this one"
        raise OSError(f"output {target} cannot be written ({os.strerror(error.errno)}): {remedy}") from error


def hidden_beside(path: Path) -> Path:
    """A name beside a path that nobody else uses, and that :func:`heal` knows."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")


def discard(path: Path) -> None:
    """Delete a folder that is either whole or absent, also to those who find it after a kill: see :func:`heal`."""
    part = hidden_beside(path)
    try:
        path.replace(part)
    except FileNotFoundError:
        return
    shutil.rmtree(part, ignore_errors=True)


def left_of(path: Path) -> str | None:
    """The name of the output that a killed writer left this of, if it did."""
    match = _LEFT.fullmatch(path.name)
    return match[1] if match else None


def heal(folder: Path, names: re.Pattern[str]) -> None:
    """Clear up after killed writers: unfinished outputs go, an old one that was moved aside comes back.

    Only for a folder in which nobody else writes outputs of these names.
    """
    for path in sorted(folder.iterdir()):
        name = left_of(path)
        if name is None or not names.fullmatch(name):
            continue
        target = folder / name
        if path.suffix == ".old" and not (target.exists() or target.is_symlink()):
            path.replace(target)
        else:
            remove(path)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder tree if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _rename(part: Path, target: Path) -> None:
    if not part.exists():
        raise FileNotFoundError(f"nothing was written at {part}")
    if not (part.is_dir() or target.is_dir()):
        part.replace(target)
        return
    old = part.with_suffix(".old")
    try:
        if target.exists():
            target.replace(old)
        part.replace(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.replace(target)
        raise
    try:
        remove(old)
    except OSError as error:
        raise OSError(f"output {target} is written, but the one before cannot be removed: remove {old}") from error
