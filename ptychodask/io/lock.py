"""One run at a time: a lock file that names its holder, and that the system frees when the holder dies.

The lock is ``flock`` on an open file, not the file's existence: there is no gap between looking and taking, two runs in
one process exclude each other, and a killed holder leaves nothing to clean up. NFS (since Linux 2.6.12), Lustre mounted
with ``-o flock``, BeeGFS and GPFS hand it on to all machines. Where locks end at the machine, or do not exist, the
record in the file decides: host, process and time of the holder.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from .._errors import InputError
from .._text import printable
from .described.run import HolderFile
from .documents import Damage, described, parse_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_START = b'{"host": '
"""How a lock file begins."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: host name, process number, time of taking it (UTC)."""

    host: str
    pid: int
    since: str

    @classmethod
    def me(cls) -> Holder:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(path: Path, what: str) -> Iterator[str | None]:
    """Hold the lock file ``path`` inside the block; it is removed at the end.

    Parameters
    ----------
    path : Path
        The lock file; its folder exists.
    what : str
        What is locked, for the error.

    Yields
    ------
    str or None
        A line for the user, where a dead run's lock was taken over or the file system has no locks.

    Raises
    ------
    InputError
        If another run holds it, or one on another machine did not give it back.
    FileNotFoundError
        If its folder vanishes meanwhile.
    """
    descriptor, note = _take(path, what)
    try:
        yield note
    finally:
        with suppress(OSError):  # the folder may be gone; while we hold it, nobody else can hold this file
            path.unlink()
        os.close(descriptor)


def _take(path: Path, what: str) -> tuple[int, str | None]:
    while True:
        descriptor = _open(path)
        try:
            exclusive = _flock(descriptor)
            if exclusive is False:
                raise InputError(
                    f"{what} is being written by {_read(descriptor) or 'another run'}: wait for it, or stop it there"
                )
            if not _is_at(descriptor, path):  # removed by its holder between opening and locking
                os.close(descriptor)
                continue
            note = _judge(_record(descriptor, path), exclusive is not None, path, what)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            try:
                os.write(descriptor, json.dumps(asdict(Holder.me())).encode())
            except OSError:  # a full disk
                path.unlink(missing_ok=True)
                raise
            return descriptor, note
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.EACCES, errno.EPERM):
            raise
        if error.errno in (errno.EACCES, errno.EPERM):
            raise InputError(f"{path} cannot be locked ({error.strerror}): check its rights") from None
        raise InputError(f"{path} is in the way of a lock ({error.strerror}): move it away") from None


def _flock(descriptor: int) -> bool | None:
    """True if the lock is ours, False if somebody else's, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _record(descriptor: int, path: Path) -> Holder | None:
    """The holder on record, None where there is none or where writing it did not end; in no other file."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    head = os.read(descriptor, len(_START))
    if head != _START[: len(head)]:
        raise InputError(f"{path} is in the way of a lock (it is another file): move it away")
    return _read(descriptor)


def _read(descriptor: int) -> Holder | None:
    """The holder on record, None where none is (yet)."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        record = described(HolderFile, parse_json(os.read(descriptor, 4096), "lock"), "lock")
    except Damage:
        return None
    return Holder(printable(record.host), record.pid, printable(record.since))


def _judge(last: Holder | None, locks: bool, path: Path, what: str) -> str | None:
    """May the lock be taken from the holder on record? A line for the user, or an error."""
    here = last is not None and last.host == socket.gethostname()
    if last is not None and not here:
        raise InputError(
            f"{what} was being written by {last}, and its end cannot be seen from here: make sure that it is over,"
            f" then remove {path}"
        )
    if last is not None and not locks and psutil.pid_exists(last.pid):
        raise InputError(f"{what} is being written by {last}: wait for it, or stop it (if it is over, remove {path})")
    if last is not None:
        return f"the lock of {last}, which is dead, was taken over"
    return None if locks else f"{path.parent} has no file locks: start no second run for this result"
