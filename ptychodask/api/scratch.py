"""Where results lie that were not given a place."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

_folders: list[Path] = []


def scratch() -> Path:
    """A temporary folder that is removed when the process ends."""
    if not _folders:
        folder = Path(tempfile.mkdtemp(prefix="ptychodask-"))
        _folders.append(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_folders[0]))
