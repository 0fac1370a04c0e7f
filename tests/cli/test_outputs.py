"""Every verb replaces only what ptychodask wrote of that kind, follows links the same way, and survives a full disk."""

from __future__ import annotations

import errno
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from tiny_scan import BLUR, bits, write_scan
from typer.testing import CliRunner

import ptychodask
from ptychodask import InputError
from ptychodask.cli import main
from ptychodask.cli.app import app

SHORT = {**BLUR, "solver": {"iterations": 2, "finish": 0}}
SET = ["--set", "solver.iterations=2", "--set", "solver.finish=0", "--set", "object.regularisation=blur"]
SIMULATE = ["--material", "zif-8", "--scan", "2", "2", "--thickness", "17", "--defocus", "150", "--detector", "48",
            "--angular-step", "0.8"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A dataset and its result."""
    place = tmp_path_factory.mktemp("made")
    write_scan(place / "scan.zarr", (10, 10), step=2.0)
    ptychodask.reconstruct(place / "scan.zarr", SHORT, output=place / "result.zarr")
    return place


@pytest.fixture
def work(made, tmp_path, monkeypatch) -> Path:
    """A folder of one's own with both, and with files of somebody."""
    for source in made.iterdir():
        shutil.copytree(source, tmp_path / source.name)
    for name in ("notes.png", "notes.tif", "nu-1000.png", "file"):
        (tmp_path / name).write_text("mine")
    for name in ("thesis", "book.run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "chapter.tex").write_text("mine")
    shutil.copytree(made / "scan.zarr", tmp_path / "other.zarr.run")
    shutil.copytree(made / "result.zarr", tmp_path / "mixed.zarr")
    (tmp_path / "mixed.zarr" / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to("thesis")
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; gives exit code and standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ptychodask", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().err

    yield call
    signal.signal(signal.SIGTERM, before)


def tree(folder: Path) -> dict[str, bytes | str | None]:
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


SOLVE = ["reconstruct", "scan.zarr", "--overwrite", "-o"]
FOREIGN = {
    "dataset as result": ([*SOLVE, "scan.zarr"], "is a ptychodask dataset, not a ptychodask result"),
    "result in the dataset": ([*SOLVE, "scan.zarr/r.zarr"], "is inside .*scan.zarr, a ptychodask dataset"),
    "result around the dataset": ([*SOLVE, "."], "no name"),
    "result with notes": ([*SOLVE, "mixed.zarr"], r"a ptychodask result with other files in it \(notes.txt\)"),
    "file as result": ([*SOLVE, "file"], "is a file, not a ptychodask result"),
    "somebody's run folder": ([*SOLVE, "book"], r"book\.run holds chapter\.tex, which no run"),
    "dataset as run folder": ([*SOLVE, "other.zarr"], r"other\.zarr\.run holds counts, which no run"),
    "link to other files": ([*SOLVE, "link"], r"thesis exists and is a folder with other files \(chapter\.tex\)"),
    "link in a circle": ([*SOLVE, "circle"], "leads back to itself"),
    "resume of a circle": (["resume", "circle"], "leads back to itself"),
    "result as dataset": (["simulate", "result.zarr", "--overwrite"], "is a ptychodask result, not a ptychodask data"),
    "link in a circle as dataset": (["simulate", "circle", "--overwrite"], "leads back to itself"),
    "report over a text": (["report", "result.zarr", "--overwrite", "-o", "notes.png"], "other content, not a PNG"),
    "report's ending": (["report", "result.zarr", "-o", "fig.docx"], r"no picture ends in '\.docx', use \.png, \.pdf"),
    "report in the result": (["report", "result.zarr", "-o", "result.zarr/a.png"], "is inside .*result.zarr"),
    "export over a text": (["export", "result.zarr", "--overwrite", "-o", "notes.tif"], "other content, not a TIFF"),
    "demo in a dataset": (["demo", "--out", "scan.zarr/demo"], "is inside .*scan.zarr, a ptychodask dataset"),
    "demo in a circle": (["demo", "--out", "circle"], "leads back to itself"),
    "demo over a text": (["demo", "--out", ".", "--overwrite"], "nu-1000.png exists and is a file with other content"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_ours_is_one_line_and_stays(run, work, name, monkeypatch):
    for place in ("ptychodask.simulation.run.connect", "ptychodask.jobs.launch.connect"):
        monkeypatch.setattr(place, lambda *arguments, **options: pytest.fail("a cluster was started"))
    arguments, message = FOREIGN[name]
    before = tree(work)
    code, err = run(*arguments)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert re.search(message, err), err
    assert tree(work) == before


@pytest.mark.parametrize("name", ["result around the dataset", "input in the result"])
def test_the_dataset_is_never_part_of_what_is_replaced(made, tmp_path, name):
    parent = tmp_path / "parent"
    if name == "input in the result":
        shutil.copytree(made / "result.zarr", parent)
    shutil.copytree(made / "scan.zarr", parent / "scan.zarr")
    before = tree(tmp_path)
    with pytest.raises(ptychodask.InputError, match=r"with other files.*scan\.zarr"):
        ptychodask.reconstruct(parent / "scan.zarr", SHORT, output=parent, overwrite=True)
    assert tree(tmp_path) == before


def test_links_stay_and_what_they_lead_to_is_written(run, work):
    (work / "scratch").mkdir()
    for name in ("r.zarr", "r.zarr.run", "p.tif", "p.pdf"):
        Path(name).symlink_to(f"scratch/{name}-here")
    verbs = (["reconstruct", "scan.zarr", *SET, "-o", "r.zarr"], ["report", "r.zarr", "-o", "p.pdf"],
             ["export", "r.zarr", "-o", "p.tif"])  # fmt: skip
    for options in ([], ["--overwrite"]):
        for verb in verbs:
            assert run(*verb, *options) == (0, "")
        assert sorted(p.name for p in Path("scratch").iterdir()) == ["p.pdf-here", "p.tif-here", "r.zarr-here"]
    assert all(Path(name).is_symlink() for name in ("r.zarr", "r.zarr.run", "p.tif", "p.pdf"))
    assert bits(ptychodask.open_result("r.zarr")) == bits(ptychodask.open_result("result.zarr"))
    assert Path("p.pdf").read_bytes().startswith(b"%PDF-")


def test_a_picture_is_replaced_only_where_that_is_said(work):
    Path("a.svg").write_text("")  # of nobody
    figures = ptychodask.report("result.zarr", "a.svg", overwrite=True)
    with pytest.raises(ptychodask.InputError, match=r"a\.svg exists: use overwrite=True"):
        ptychodask.report("result.zarr", "a.svg")
    assert ptychodask.report("result.zarr", "a.svg", overwrite=True) == figures
    assert b"<svg" in Path("a.svg").read_bytes()


WRITERS = {
    "simulate": ("ptychodask.io.writer.create_skeleton", ["simulate", "old.zarr", *SIMULATE]),
    "export": ("PIL.Image.Image.save", ["export", "result.zarr", "-o", "old.tif"]),
    "report": ("matplotlib.figure.Figure.savefig", ["report", "result.zarr", "-o", "old.png"]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_the_old_output_stays(run, work, name, monkeypatch):
    writer, arguments = WRITERS[name]
    old = next(work / word for word in arguments if "old" in word)
    if name == "simulate":
        pytest.importorskip("ase")
        shutil.copytree("scan.zarr", old)
    else:
        assert run(*arguments)[0] == 0
    before = tree(work)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, full)
    code, err = run(*arguments, "--overwrite")
    text = f"error: output {old} cannot be written (No space left on device): make room, then try again\n"
    assert (code, err) == (1, text)
    assert tree(work) == before


@pytest.mark.parametrize("stage", ["create_skeleton", "write_shard", "seal"])
def test_create_dataset_on_a_full_disk(work, stage, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = tree(work)
    monkeypatch.setattr(f"ptychodask.io.writer.{stage}", full)
    with pytest.raises(OSError, match=r"^output .*scan.zarr cannot be written \(No space left on device\)") as caught:
        write_scan(work / "scan.zarr", (4, 4), overwrite=True)
    assert "\n" not in str(caught.value) and tree(work) == before


def test_other_trouble_of_a_disk_is_one_line_too(run, work, monkeypatch):
    def broken(*arguments, **options):
        raise OSError(errno.EIO, "Input/output\nerror", "r.zarr")

    monkeypatch.setattr("ptychodask.api.export", broken)
    assert run("export", "result.zarr", "-o", "a.tif") == (1, "error: [Errno 5] Input/output error: 'r.zarr'\n")


@pytest.mark.parametrize("verb", [["import", "a.raw", "-o", "a.zarr"], ["simulate", "a.zarr"], ["advise", "zif-8"]])
def test_an_energy_in_ev_is_told_the_unit(verb):
    with pytest.raises(InputError) as error:
        CliRunner().invoke(app, [*verb, "--energy", "300000"], catch_exceptions=False)
    assert str(error.value) == "--energy 300000: give the beam energy in keV, 1 to 5000 (300 for 300 kV)"
