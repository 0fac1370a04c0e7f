"""Outputs are whole or absent, and an old one survives every failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ptychodask._errors import InputError
from ptychodask.io.atomic import check_output, heal, replacing


def make(path, kind: str, text: str) -> None:
    if kind == "file":
        path.write_text(text)
    else:
        path.mkdir()
        (path / "inner").write_text(text)


def content(path, kind: str) -> str:
    return (path if kind == "file" else path / "inner").read_text()


def names(folder) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


KINDS = pytest.mark.parametrize("kind", ["file", "folder"])


@KINDS
def test_new_output(tmp_path, kind):
    target = tmp_path / "out"
    with replacing(target) as part:
        assert part.parent == tmp_path
        assert re.fullmatch(r"\.out\.[0-9a-f]{12}\.part", part.name)
        make(part, kind, "new")
        assert not target.exists()
    assert content(target, kind) == "new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("old", ["file", "folder"])
@KINDS
def test_overwrite_replaces_either_kind_by_either(tmp_path, kind, old):
    target = tmp_path / "out"
    make(target, old, "old")
    with replacing(target, overwrite=True) as part:
        make(part, kind, "new")
        assert content(target, old) == "old"
    assert content(target, kind) == "new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@KINDS
def test_failure_leaves_the_old_output(tmp_path, kind, error):
    target = tmp_path / "out"
    make(target, kind, "old")
    with pytest.raises(error), replacing(target, overwrite=True) as part:
        make(part, kind, "half")
        raise error
    assert content(target, kind) == "old"
    assert names(tmp_path) == ["out"]


def test_folder_goes_back_if_the_last_rename_fails(tmp_path, monkeypatch):
    target = tmp_path / "out"
    make(target, "folder", "old")
    rename = os.replace

    def failing(source, destination):
        if str(source).endswith(".part"):
            raise OSError("disk")
        return rename(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk"), replacing(target, overwrite=True) as part:
        make(part, "folder", "new")
    assert content(target, "folder") == "old"
    assert names(tmp_path) == ["out"]


def test_existing_output_is_refused(tmp_path):
    target = tmp_path / "out.tif"
    target.write_text("old")
    with pytest.raises(InputError, match=r"out\.tif exists"):
        check_output(target)
    with pytest.raises(InputError, match="overwrite"), replacing(target):
        pytest.fail("the block must not run")
    assert check_output(target, overwrite=True) == target
    assert target.read_text() == "old"


def test_broken_link_counts_as_existing(tmp_path):
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "absent")
    with pytest.raises(InputError, match="exists"):
        check_output(link)


def test_output_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(InputError, match="appeared"), replacing(target) as part:
        part.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["out"]


def test_bad_places(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "absent" / "out")
    with pytest.raises(InputError, match=r"use out\.tif"):
        check_output(tmp_path / "out", suffix=".tif")
    with pytest.raises(InputError, match="no name"):
        check_output("")
    # root may write everywhere, so the answer of the system is replaced here
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="not writable"):
        check_output(tmp_path / "out")


def test_permission_error_in_the_block(tmp_path):
    with pytest.raises(InputError, match="cannot be written"), replacing(tmp_path / "out"):
        raise PermissionError(13, "Permission denied")
    with pytest.raises(PermissionError), replacing(tmp_path / "out"):
        raise PermissionError(13, "Permission denied", "/another/file")  # not about this output


def test_block_that_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out"):
        pass


def test_zarr_is_not_imported():
    code = "import sys, ptychodask.io.atomic; sys.exit('zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, where nobody can write")
def test_folder_that_refuses_even_root_is_refused():
    with pytest.raises(InputError, match=r"output folder /proc is not writable \(.+\): choose another"):
        check_output("/proc/result.zarr")


def test_two_writers_of_one_output_never_share_a_name(tmp_path):
    """Process numbers repeat between machines and containers that share a folder."""
    with replacing(tmp_path / "out", overwrite=True) as one, replacing(tmp_path / "out", overwrite=True) as two:
        assert one != two
        make(one, "folder", "same")
        make(two, "folder", "same")
    assert names(tmp_path) == ["out"]


WRITER = """
import os, signal, sys
from pathlib import Path
from ptychodask.io import atomic
target, moment = Path(sys.argv[1]), int(sys.argv[2])
replace, calls = Path.replace, []
def counted(self, other):
    calls.append(other)
    if len(calls) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, other)
Path.replace = counted
with atomic.replacing(target, overwrite=True) as part:
    part.mkdir()
    (part / "inner").write_text("new")
"""


@pytest.mark.parametrize("moment", [1, 2])
def test_a_writer_killed_at_any_rename_leaves_the_old_output(tmp_path, moment):
    target = tmp_path / "iteration-000004.zarr"
    make(target, "folder", "old")
    done = subprocess.run([sys.executable, "-c", WRITER, str(target), str(moment)], check=False)
    assert done.returncode == -9
    assert target.exists() == (moment == 1)
    (tmp_path / ".hidden").write_text("mine")
    heal(tmp_path)
    assert content(target, "folder") == "old"
    assert sorted(names(tmp_path)) == [".hidden", "iteration-000004.zarr"]
