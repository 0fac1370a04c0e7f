"""Outputs are whole or absent, an old one survives every failure, and only our own ever makes room for another."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ptychodask._errors import InputError
from ptychodask.io.atomic import check_output, heal, replacing, resolved, writing
from ptychodask.io.kinds import DATASET, HDF5, RESULT, STORES, TIFF, picture

PNG = picture("a.png")
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def make(path, kind: str, text: str) -> None:
    """A picture, or a store of ours, with a text in it."""
    if kind == "file":
        path.write_bytes(PNG_HEAD + text.encode())
    else:
        path.mkdir()
        described = {"zarr_format": 3, "node_type": "group", "attributes": {"schema": "ptychodask-result/1"}}
        (path / "zarr.json").write_text(json.dumps(described))
        (path / "object" / "c" / "0").mkdir(parents=True)
        (path / "object" / "zarr.json").write_text("{}")
        (path / "object" / "c" / "0" / "0").write_text(text)


def content(path, kind: str) -> str:
    if kind == "file":
        return path.read_bytes().removeprefix(PNG_HEAD).decode()
    return (path / "object" / "c" / "0" / "0").read_text()


def names(folder) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def tree(folder) -> dict[str, bytes | str | None]:
    """All that is below a folder: contents of files, targets of links."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


KINDS = pytest.mark.parametrize(("kind", "form"), [(PNG, "file"), (RESULT, "folder")], ids=["file", "folder"])
ENDINGS = {"file": "out.png", "folder": "out.zarr"}


@KINDS
def test_new_output(tmp_path, kind, form):
    target = tmp_path / ENDINGS[form]
    with replacing(target, kind) as part:
        assert part.parent == tmp_path
        assert re.fullmatch(rf"\.{target.name}\.[0-9a-f]{{12}}\.part", part.name)
        make(part, form, "new")
        assert not target.exists()
    assert content(target, form) == "new"
    assert names(tmp_path) == [target.name]


@KINDS
def test_overwrite_replaces_its_own_kind(tmp_path, kind, form):
    target = tmp_path / ENDINGS[form]
    make(target, form, "old")
    with replacing(target, kind, overwrite=True) as part:
        make(part, form, "new")
        assert content(target, form) == "old"
    assert content(target, form) == "new"
    assert names(tmp_path) == [target.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@KINDS
def test_failure_leaves_the_old_output(tmp_path, kind, form, error):
    target = tmp_path / ENDINGS[form]
    make(target, form, "old")
    with pytest.raises(error), replacing(target, kind, overwrite=True) as part:
        make(part, form, "half")
        raise error
    assert content(target, form) == "old"
    assert names(tmp_path) == [target.name]


def test_folder_goes_back_if_the_last_rename_fails(tmp_path, monkeypatch):
    target = tmp_path / "out"
    make(target, "folder", "old")
    rename = os.replace

    def failing(source, destination):
        if str(source).endswith(".part"):
            raise OSError("disk")
        return rename(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk"), replacing(target, RESULT, overwrite=True) as part:
        make(part, "folder", "new")
    assert content(target, "folder") == "old"
    assert names(tmp_path) == ["out"]


# -- what makes room ------------------------------------------------------------------------------------------------


def ours(path, schema="ptychodask-result/1"):
    make(path, "folder", "old")
    text = (path / "zarr.json").read_text().replace("ptychodask-result/1", schema)
    (path / "zarr.json").write_text(text)


def with_notes(path, *inside):
    ours(path)
    path.joinpath(*inside).parent.mkdir(parents=True, exist_ok=True)
    path.joinpath(*inside).write_text("mine")


def with_link(path):
    ours(path)
    (path / "probe").symlink_to(path / "object")


def truncated(path):
    ours(path)
    (path / "zarr.json").write_text('{"zarr_format": 3, "attri')


def foreign_folder(path):
    path.mkdir()
    (path / "chapter.tex").write_text("mine")


def zarr_of_another(path):
    path.mkdir()
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    (path / "object").mkdir()


def text_file(path):
    path.write_text("mine")


FOREIGN = {
    "folder": (foreign_folder, RESULT, r"a folder with other files \(chapter.tex\)"),
    "zarr of another": (zarr_of_another, RESULT, "a folder with other files"),
    "truncated": (truncated, RESULT, "a folder with other files"),
    "dataset": (lambda path: ours(path, "ptychodask-dataset/1"), RESULT, "a ptychodask dataset, not a ptychodask res"),
    "result": (ours, DATASET, "a ptychodask result, not a ptychodask dataset"),
    "file": (text_file, RESULT, "a file, not a ptychodask result"),
    "empty file": (lambda path: path.touch(), RESULT, "a file, not a ptychodask result"),
    "notes": (lambda path: with_notes(path, "notes.txt"), RESULT, r"with other files in it \(notes.txt\)"),
    "notes among chunks": (lambda path: with_notes(path, "object", "c", "0", "n"), RESULT, "object/c/0/n"),
    "notes in an array": (lambda path: with_notes(path, "object", "n"), RESULT, r"\(object/n\)"),
    "notes in a group": (lambda path: with_notes(path, "history", "loss", "n"), RESULT, r"\(history/loss/n\)"),
    "nested store": (lambda path: with_notes(path, "scan.zarr", "zarr.json"), RESULT, r"\(scan.zarr\)"),
    "link inside": (with_link, RESULT, r"\(probe\)"),
    "text as PNG": (text_file, PNG, "a file with other content, not a PNG picture"),
    "text as TIFF": (text_file, TIFF, "a file with other content, not a TIFF image"),
    "text as HDF5": (text_file, HDF5, "a file with other content, not an HDF5 file"),
    "folder as PNG": (foreign_folder, PNG, "a folder, not a PNG picture"),
    "empty folder as PNG": (lambda path: path.mkdir(), PNG, "a folder, not a PNG picture"),
    "pipe as PNG": (lambda path: os.mkfifo(path), PNG, "no plain file, not a PNG picture"),
}


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_ours_is_never_replaced(tmp_path, name, overwrite):
    stand, kind, message = FOREIGN[name]
    target = tmp_path / f"out{kind.ending}"
    stand(target)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=rf"exists and is .*{message}") as caught:
        check_output(target, kind, overwrite)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError), replacing(target, kind, overwrite):
        pytest.fail("the block must not run")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", [RESULT, DATASET, PNG])
def test_what_is_empty_is_nobodys(tmp_path, kind):
    target = tmp_path / f"out{kind.ending}"
    (target.touch if kind is PNG else target.mkdir)()
    with pytest.raises(InputError, match="exists: use overwrite=True"):
        check_output(target, kind)
    with replacing(target, kind, overwrite=True) as part:
        make(part, "file" if kind is PNG else "folder", "new")
    assert content(target, "file" if kind is PNG else "folder") == "new"


def test_what_somebody_puts_there_meanwhile_is_kept(tmp_path):
    for target in (tmp_path / "out.png", tmp_path / "out"):
        kind, form = (PNG, "file") if target.suffix else (RESULT, "folder")
        with pytest.raises(InputError, match="exists and is"), replacing(target, kind, overwrite=True) as part:
            make(part, form, "mine")
            target.write_text("theirs")
        assert target.read_text() == "theirs"
    with pytest.raises(InputError, match="exists: use"), replacing(tmp_path / "b.png", PNG) as part:
        make(part, "file", "mine")
        make(tmp_path / "b.png", "file", "theirs")
    assert content(tmp_path / "b.png", "file") == "theirs"
    assert sorted(names(tmp_path)) == ["b.png", "out", "out.png"]


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.noun)
def test_nothing_is_written_inside_a_store_of_ours(tmp_path, store):
    ours(tmp_path / "scan.zarr", store.schema + "7")
    for place in ("scan.zarr/result.zarr", "scan.zarr/object/result.zarr"):
        with pytest.raises(InputError, match=rf"is inside .*scan\.zarr, {store.noun}: choose a place beside it"):
            check_output(tmp_path / place, RESULT, overwrite=True)


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".eps", ".PDF"])
def test_pictures_are_known_by_how_they_begin(tmp_path, ending):
    from matplotlib.figure import Figure

    path = tmp_path / f"a{ending}"
    Figure(figsize=(1, 1)).savefig(path, format=ending[1:].lower())
    assert check_output(path, picture(path), overwrite=True) == path
    if ending != ".png":
        with pytest.raises(InputError, match="a file with other content, not a PNG picture"):
            check_output(path, PNG, overwrite=True)


# -- links ----------------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("old", [True, False], ids=["replaced", "new"])
def test_a_link_stays_and_what_is_behind_it_is_written(tmp_path, kind, form, old):
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir(), scratch.mkdir()
    place, link = scratch / "data", home / ENDINGS[form]
    if old:
        make(place, form, "old")
    link.symlink_to("../scratch/data")
    with replacing(link, kind, overwrite=old) as part:
        assert part.parent == scratch
        make(part, form, "new")
    assert link.is_symlink() and str(link.readlink()) == "../scratch/data"
    assert content(place, form) == "new"
    assert names(home) == [link.name] and names(scratch) == ["data"]


def test_a_link_to_other_files_is_refused(tmp_path):
    foreign_folder(tmp_path / "thesis")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    with pytest.raises(InputError, match=r"thesis exists and is a folder with other files \(chapter.tex\)"):
        check_output(tmp_path / "link", RESULT, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_links_that_lead_nowhere_are_one_line(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "gone").symlink_to(tmp_path / "absent" / "out")
    for path in (tmp_path / "a", tmp_path / "a" / "out"):
        with pytest.raises(InputError, match="leads back to itself at"):
            check_output(path, RESULT)
    with pytest.raises(InputError, match="absent does not exist: create it"):
        check_output(tmp_path / "gone", RESULT)
    for name in ("a\0b", "a" * 300, "a" * 240):  # the last has no room for a temporary name
        with pytest.raises(InputError, match="cannot be used"):
            check_output(tmp_path / name, RESULT)


def test_output_is_where_links_lead(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "short").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert check_output("short/out", RESULT) == resolved("short/out") == (tmp_path / "real" / "out").resolve()


# -- bad places, and the disk ---------------------------------------------------------------------------------------


def test_existing_output_is_refused(tmp_path):
    target = tmp_path / "out.png"
    make(target, "file", "old")
    with pytest.raises(InputError, match=r"out\.png exists: use overwrite=True \(--overwrite\)"):
        check_output(target, PNG)
    with pytest.raises(InputError, match="overwrite"), replacing(target, PNG):
        pytest.fail("the block must not run")
    assert check_output(target, PNG, overwrite=True) == target
    assert content(target, "file") == "old"


def test_bad_places(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "absent" / "out", RESULT)
    with pytest.raises(InputError, match=r"use out\.tif"):
        check_output(tmp_path / "out", TIFF)
    for nothing in ("", ".", "/", "a/.."):
        with pytest.raises(InputError, match="no name"):
            check_output(nothing, RESULT)
    with pytest.raises(InputError, match=r"fig\.docx: no picture ends in '\.docx', use \.png, \.pdf"):
        picture("fig.docx")
    make(tmp_path / "out", "folder", "old")
    # root may write everywhere, so the answer of the system is replaced here
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "object" not in str(path) and access(path, mode))
    with pytest.raises(InputError, match="object in it cannot be removed: choose another name"):
        check_output(tmp_path / "out", RESULT, overwrite=True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="not writable"):
        check_output(tmp_path / "new", RESULT)


DISK = [
    (OSError(errno.ENOSPC, "No space left on device"), "No space left on device): make room, then try again"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded): make room, then try again"),
    (OSError(errno.EROFS, "Read-only file system"), "Read-only file system): choose another folder"),
    (PermissionError(errno.EACCES, "Permission denied", "{part}/c/0"), "Permission denied): choose another folder"),
    (OSError(errno.EIO, "Input/output error", "{part}"), "Input/output error): choose another folder"),
]


@pytest.mark.parametrize(("error", "line"), DISK, ids=[errno.errorcode[error.errno] for error, _ in DISK])
def test_trouble_of_the_disk_is_one_line_and_leaves_the_old_output(tmp_path, error, line):
    target = tmp_path / "out.png"
    make(target, "file", "old")
    with pytest.raises(OSError, match="cannot be written") as caught, writing(target, PNG, overwrite=True) as part:
        make(part, "file", "half")
        if error.filename:
            raise type(error)(error.errno, error.strerror, error.filename.format(part=part))
        raise error
    assert str(caught.value).startswith(f"output {target} cannot be written ({line}") and "\n" not in str(caught.value)
    assert content(target, "file") == "old" and names(tmp_path) == ["out.png"]


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "No such file", "/another/file"), OSError(errno.EIO, "Input/output error"), OSError("text")],
)
def test_trouble_of_another_file_comes_as_it_is(tmp_path, error):
    with pytest.raises(OSError) as caught, writing(tmp_path / "out", RESULT):
        raise error
    assert caught.value is error


def test_block_that_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out", RESULT):
        pass


def test_zarr_is_not_imported():
    code = "import sys, ptychodask.io.atomic; sys.exit('zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, where nobody can write")
def test_folder_that_refuses_even_root_is_refused():
    with pytest.raises(InputError, match=r"output folder /proc is not writable \(.+\): choose another"):
        check_output("/proc/result.zarr", RESULT)


def test_two_writers_of_one_output_never_share_a_name(tmp_path):
    """Process numbers repeat between machines and containers that share a folder."""
    with (
        replacing(tmp_path / "out", RESULT, overwrite=True) as one,
        replacing(tmp_path / "out", RESULT, overwrite=True) as two,
    ):
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
with atomic.replacing(target, None) as part:
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
    (tmp_path / ".scan.zarr.0123456789ab.part").mkdir()  # another program of ours may be writing it just now
    heal(tmp_path, re.compile(r"iteration-\d{6}\.zarr"))
    assert content(target, "folder") == "old"
    assert sorted(names(tmp_path)) == [".hidden", ".scan.zarr.0123456789ab.part", "iteration-000004.zarr"]
