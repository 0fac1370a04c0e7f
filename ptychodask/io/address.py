"""Where a store is: a folder, a zip file, or an address that fsspec knows; read only.

Outputs are local folders. A store is given to workers as its address in text, and each of them opens it.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from .._errors import InputError
from .._text import first_line, printable
from .documents import MOST_BYTES, Damage

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
"""A scheme has two letters or more: C:/ is a drive."""
SUPPORTED = (
    "give a folder, a .zip file of one, or an address such as https:// or s3:// whose fsspec driver is installed"
)


class Store(Protocol):
    """A Zarr hierarchy; keys are names of files in it, with slashes."""

    @property
    def address(self) -> str: ...

    def read(self, key: str) -> bytes:
        """Content of a small file. Raises OSError where there is none."""
        ...

    def size(self, key: str) -> int:
        """Bytes of a file, 0 where there is none."""
        ...

    def sizes(self, folder: str) -> Callable[[str], int]:
        """As :meth:`size`, for whoever asks for many files in a folder."""
        ...

    def children(self, folder: str) -> list[str]:
        """Names of the folders in a folder."""
        ...

    def zarr(self) -> tuple[Any, str]:
        """Zarr's store, and the path of the root in it: empty, or with a slash at its end."""
        ...


def as_given(path: str | os.PathLike[str]) -> str:
    """The text of a path; of an address with the slashes that pathlib took from it."""
    text = os.fspath(path)
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return text
    scheme = match[1]
    return f"{scheme}:///{match[2]}" if scheme.lower() in ("file", "local") else f"{scheme}://{match[2]}"


def is_address(path: str | os.PathLike[str]) -> bool:
    """Is it an address rather than a path? ``file://`` is a path."""
    return "://" in as_given(path) and not as_given(path).lower().startswith(("file://", "local://"))


def located(path: Any) -> str:
    """Where data are: an address as it was given, a path absolute, so that it holds on workers too.

    Raises
    ------
    InputError
        If it is an open store or a mapping: those cannot be handed to workers.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(
            f"data is {type(path).__module__.split('.')[0]}'s {type(path).__name__}: give the path or address of the"
            f" store as text, which every worker opens itself ({SUPPORTED})"
        )
    return as_given(path) if is_address(path) else str(local_path(path).resolve())


def local_path(path: str | os.PathLike[str]) -> Path:
    """The path that is meant, also by ``file://``."""
    text = as_given(path)
    match = re.match(r"(file|local)://+(localhost/)?", text, re.IGNORECASE)
    return Path("/" + unquote(text[match.end() :])) if match else Path(text)


def store_at(path: str | os.PathLike[str]) -> Store:
    """The store at a path or an address.

    Raises
    ------
    InputError
        If it does not exist or cannot be reached.
    """
    if is_address(path):
        return Remote(as_given(path))
    local = local_path(path)
    try:
        kind = local.stat().st_mode
    except (OSError, ValueError) as error:  # a ValueError: the name holds a zero
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise InputError(f"{path} {'does not exist' if absent else f'cannot be read ({first_line(error)})'}") from None
    if stat.S_ISREG(kind) and zipfile.is_zipfile(local):
        return Zipped(str(local))
    return Folder(str(local))


@dataclass(frozen=True)
class Folder:
    """A local folder."""

    address: str

    def read(self, key: str) -> bytes:
        file = Path(self.address) / key
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would be waited for
            raise OSError(f"{key} is not a file")
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)

    def size(self, key: str) -> int:
        try:
            found = os.stat(os.path.join(self.address, key))  # noqa: PTH116, PTH118  # many of them, and fast
        except OSError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def sizes(self, folder: str) -> Callable[[str], int]:
        return self.size

    def children(self, folder: str) -> list[str]:
        return sorted(entry.name for entry in os.scandir(Path(self.address) / folder) if entry.is_dir())

    def zarr(self) -> tuple[Any, str]:
        return self.address, ""


@dataclass(frozen=True)
class Zipped:
    """A zip file that holds a store, or one folder with a store."""

    address: str

    @cached_property
    def _files(self) -> dict[str, int]:
        try:
            with zipfile.ZipFile(self.address) as opened:
                return {entry.filename: entry.file_size for entry in opened.infolist() if not entry.is_dir()}
        except (OSError, zipfile.BadZipFile) as error:
            raise Damage(f"the zip file cannot be read: {first_line(error)}") from None

    @cached_property
    def prefix(self) -> str:
        """The folder of the store in the file."""
        roots = [name.removesuffix("zarr.json") for name in self._files if name.rpartition("/")[2] == "zarr.json"]
        return min(roots, key=len, default="")

    def read(self, key: str) -> bytes:
        if self.prefix + key not in self._files:
            raise FileNotFoundError(f"{key} is not in the zip file")
        try:
            with zipfile.ZipFile(self.address) as opened, opened.open(self.prefix + key) as file:
                return file.read(MOST_BYTES + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise Damage(f"{key} cannot be read: {first_line(error)}") from None

    def size(self, key: str) -> int:
        return self._files.get(self.prefix + key, 0)

    def sizes(self, folder: str) -> Callable[[str], int]:
        return self.size

    def children(self, folder: str) -> list[str]:
        start = f"{self.prefix}{folder}/" if folder else self.prefix
        inside = [name[len(start) :] for name in self._files if name.startswith(start)]
        return sorted({name.partition("/")[0] for name in inside if "/" in name})

    def stamps(self, keys: Sequence[str], absent: bytes) -> list[bytes]:
        """What names the content of files: size and checksum."""
        try:
            with zipfile.ZipFile(self.address) as opened:
                known = {entry.filename: f"zip {entry.file_size} {entry.CRC}".encode() for entry in opened.infolist()}
        except (OSError, zipfile.BadZipFile) as error:
            raise Damage(f"the zip file cannot be read: {first_line(error)}") from None
        return [known.get(self.prefix + key, absent) for key in keys]

    def zarr(self) -> tuple[Any, str]:
        from zarr.storage import ZipStore

        return ZipStore(self.address, mode="r"), self.prefix


@dataclass(frozen=True)
class Remote:
    """An address that fsspec knows."""

    address: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        import fsspec

        try:
            files, root = fsspec.core.url_to_fs(self.address)
        except Exception as error:  # every driver has its own
            raise InputError(f"{self.address} cannot be opened ({first_line(error)}): {SUPPORTED}") from None
        return files, root.rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._place[1]}/{key}" if key else self._place[1]

    def read(self, key: str) -> bytes:
        files, _ = self._place
        return self._asked(lambda: files.cat_file(self._path(key), start=0, end=MOST_BYTES + 1))

    def size(self, key: str) -> int:
        files, _ = self._place
        try:
            return int(self._asked(lambda: files.size(self._path(key))) or 0)
        except FileNotFoundError:
            return 0

    def sizes(self, folder: str) -> Callable[[str], int]:
        files, root = self._place
        found = self._asked(lambda: files.find(self._path(folder), detail=True))
        if not found:  # such as web servers that list nothing
            return self.size
        # names come with or without a leading slash
        by_key = {name.removeprefix(root).lstrip("/"): int(entry.get("size") or 0) for name, entry in found.items()}
        return lambda key: by_key.get(key, 0)

    def children(self, folder: str) -> list[str]:
        files, _ = self._place
        try:
            found = self._asked(lambda: files.ls(self._path(folder), detail=True))
        except FileNotFoundError:
            return []
        return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory")

    def stamps(self, keys: Sequence[str], absent: bytes) -> list[bytes]:
        """What is known of the content of files: their size."""
        folders = {key.partition("/")[0] for key in keys}
        sizes = {folder: self.sizes(folder) for folder in folders}
        found = [sizes[key.partition("/")[0]](key) for key in keys]
        return [f"size {size}".encode() if size else absent for size in found]

    def zarr(self) -> tuple[Any, str]:
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.address, read_only=True), ""

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except FileNotFoundError:
            raise
        except Exception as error:  # the network's and the driver's
            raise InputError(
                f"{self.address} cannot be read ({first_line(error)}): check the address, the network and the rights"
            ) from error


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Outputs are written here.

    Raises
    ------
    InputError
    """
    if is_address(path):
        raise InputError(
            f"output {printable(as_given(path))} is an address, outputs are local folders: copy it afterwards"
        )
