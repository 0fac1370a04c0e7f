"""A writer that fails leaves nobody behind who is still writing."""

from __future__ import annotations

import errno
import threading
import time

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from ptychodask.io.atomic import replacing
from ptychodask.io.kinds import RESULT
from ptychodask.io.stores import writable


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_written_after_an_error(tmp_path, monkeypatch, error):
    """One of many chunks fails at once, while others are still being written and more wait for their turn."""
    put, begun, failed = LocalStore.set_sync, threading.Event(), threading.Event()
    first = threading.Lock()

    def slow(self, key, value):
        if key.startswith("a/c"):
            if isinstance(error, OSError) and first.acquire(blocking=False):
                begun.wait(10)
                failed.set()
                raise error
            begun.set()
            failed.wait(10)
            time.sleep(0.05)
        put(self, key, value)

    monkeypatch.setattr(LocalStore, "set_sync", slow)
    with pytest.raises(type(error)), replacing(tmp_path / "out", RESULT) as part, writable(part, new=True) as store:
        group = zarr.create_group(store)
        if isinstance(error, KeyboardInterrupt):  # while chunks are written in a thread

            def write():
                with pytest.raises(FileNotFoundError):
                    group.create_array("a", data=np.ones(64), chunks=(1,))

            writer = threading.Thread(target=write)
            writer.start()
            begun.wait(10)
            failed.set()
            raise error
        group.create_array("a", data=np.ones(64), chunks=(1,))
    assert list(tmp_path.iterdir()) == []
    if isinstance(error, KeyboardInterrupt):
        writer.join()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_cleared_away_is_not_made_again(tmp_path):
    with writable(tmp_path / "a", new=True) as store:
        group = zarr.create_group(store)
        (tmp_path / "a").rename(tmp_path / "b")
        with pytest.raises(FileNotFoundError):
            group.create_array("x", data=np.ones(3))
    with pytest.raises(FileNotFoundError), writable(tmp_path / "a"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
