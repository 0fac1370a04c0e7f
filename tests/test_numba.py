"""Compiled code has a place, whatever this user may write to, and never one that others may write to."""

from __future__ import annotations

import tempfile

import numba
import pytest
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc

from ptychodask import _numba
from ptychodask.jobs.doctor import diagnose
from ptychodask.model.config import EngineConfig


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Neither the package's folder nor the home can be written; gives the temporary folder."""
    (impl,) = (c for c in FunctionCache._impl_class.__mro__ if "_locator_classes" in vars(c))
    named = [c for c in impl._locator_classes if "UserProvided" in c.__name__]
    monkeypatch.setattr(impl, "_locator_classes", named)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_numba, "_kept_in", set())
    return tmp_path


def twice(x):
    return 2 * x


def thrice(x):
    return 3 * x


def test_the_usual_place_is_taken_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_numba, "_kept_in", set())
    kernel = _numba.njit()(twice)
    assert _numba.is_cold(kernel) and kernel(3) == 6 and not _numba.is_cold(kernel)
    assert not _numba.is_cold(_numba.njit()(twice))  # it is on disk
    assert _numba.unusual_places() == [] and list(tmp_path.rglob("*.nbi"))


def test_else_it_is_a_private_folder_below_the_temporary_one(nowhere):
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(twice)
    assert _numba.njit()(twice)(3) == 6
    callback = _numba.keep(CFunc(thrice, ((numba.float64,), numba.float64), {}, {}))
    callback.compile()
    (folder,) = nowhere.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700 and len(list(folder.rglob("*.nbi"))) == 2
    assert _numba.unusual_places() == [str(folder)] and numba.config.CACHE_DIR == ""
    (check,) = (c for c in diagnose(EngineConfig()).checks if c.name == "compiled code")
    assert check.value == str(folder) and check.ok is None and "NUMBA_CACHE_DIR" in check.remark


@pytest.mark.parametrize("obstacle", ["open to all", "a link", "a file", "no temporary folder"])
def test_where_others_could_write_or_nobody_can_it_stays_in_memory(nowhere, monkeypatch, obstacle):
    folder = _numba.private_folder()
    folder.rmdir()
    if obstacle == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif obstacle == "a link":
        (nowhere / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(nowhere / "elsewhere")
    elif obstacle == "a file":
        folder.touch()
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(nowhere / "absent"))
    assert _numba.njit()(twice)(3) == 6
    assert _numba.unusual_places() == ["memory"] and not list(nowhere.rglob("*.nbi"))


def test_without_a_home_nothing_is_made_in_the_working_folder(nowhere, monkeypatch):
    monkeypatch.undo()
    work = nowhere / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere))
    monkeypatch.setattr(_numba, "_kept_in", set())
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("os.access", lambda *arguments: False)
    assert _numba.njit()(twice)(3) == 6
    assert not list(work.iterdir()) and _numba.unusual_places() == [str(_numba.private_folder())]
