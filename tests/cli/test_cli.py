"""The command line from end to end, and what it says to bad input: one line, exit code 2, nothing computed or left."""

from __future__ import annotations

import errno
import io
import json
import re
import signal
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

pytest.importorskip("abtem")
pytest.importorskip("ase")

from ptychodask import api
from ptychodask.api import asked
from ptychodask.cli import main
from ptychodask.model.scan import raster

VERBS = [
    "demo",
    "simulate",
    "import",
    "watch",
    "info",
    "calibrate",
    "view",
    "config",
    "plan",
    "reconstruct",
    "resume",
    "report",
]
VERBS += ["export", "doctor", "advise", "study", "tune", "structure"]
GEOMETRY = {"--defocus": 150, "--detector": 48, "--angular-step": 0.8, "--step": 3, "--thickness": 17, "--seed": 3}
SIMULATE = ["--material", "zif-8", "--scan", "8", "8", *(str(word) for pair in GEOMETRY.items() for word in pair)]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; gives exit code, standard output and standard error."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ptychodask", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return left.value.code, out, err

    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dataset, and a result made through the command as a person types it."""
    place = tmp_path_factory.mktemp("work")
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as out,
        pytest.raises(SystemExit) as left,
    ):
        patch.chdir(place)
        patch.setattr(sys, "argv", ["ptychodask", "simulate", "scan.zarr", *SIMULATE])
        patch.setattr(signal, "signal", lambda number, handler: None)
        main()
    assert left.value.code == 0
    (place / "simulate.txt").write_text(out.getvalue())
    settings = ["--set", "solver.iterations=4", "--set", "solver.finish=1"]
    command = [sys.executable, "-m", "ptychodask", "reconstruct", "scan.zarr", "-o", "result.zarr", *settings]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (place / "reconstruct.txt").write_text(done.stdout)
    return place


def plain(text: str) -> str:
    """Without colours and with single spaces."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


# -- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples(run, verb):
    code, out, err = run(verb, "--help")
    assert (code, err) == (0, "")
    assert "Examples:" in out
    assert f"ptychodask {verb}" in plain(out).split("Examples:")[1]


def test_help_lists_the_verbs_and_a_start(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(re.search(rf"\b{verb}\b", out) for verb in VERBS)
    assert "ptychodask demo" in out
    code, out, err = run()  # bare
    assert code == 2
    assert "ptychodask demo" in out
    assert "error" not in err


def test_version(run):
    import ptychodask

    assert run("--version") == (0, f"ptychodask {ptychodask.__version__}\n", "")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['ptychodask', '--help']\n"
        "from ptychodask.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'zarr', 'distributed', 'numba', 'abtem', 'matplotlib', 'xarray'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- end to end ----------------------------------------------------------------------------------------------------


def test_simulate_says_what_it_made(folder):
    last = plain((folder / "simulate.txt").read_text())
    assert "scan.zarr: zif-8 (published), 16.99 Å thick, 8 x 8 positions" in last
    assert api.open_dataset(folder / "scan.zarr").counts.shape == (8, 8, 48, 48)


def test_info(run, folder):
    code, out, err = run("info", folder / "scan.zarr")
    assert (code, err) == (0, "")
    text = plain(out)
    for expected in (
        "8 x 8 x 48 x 48",
        "energy 300 keV",
        "semi-angle 10 mrad",
        "defocus 150 angstrom",
        "zif-8",
        "dose",
    ):
        assert expected in text
    assert "warning: linear overlap" in text  # 3 angstrom steps of so small a probe


def test_info_loads_nothing_heavy(folder):
    code = (
        f"import sys; sys.argv = ['ptychodask', 'info', {str(folder / 'scan.zarr')!r}]\n"
        "from ptychodask.cli import main\n"
        "try: main()\nexcept SystemExit as left: assert not left.code\n"
        "heavy = {'dask', 'distributed', 'numba', 'matplotlib', 'xarray', 'pandas', 'scipy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_info_looks_at_the_positions(run, tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (6, 5, 32, 32))
    positions = 100 * raster((6, 5), (1.0, 1.0))
    api.create_dataset(
        tmp_path / "scan.zarr", counts, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=100,
        angular_step_mrad=1.0, scan_step_angstrom=1.0, positions_angstrom=positions,
    )  # fmt: skip
    code, out, _ = run("info", tmp_path / "scan.zarr")
    assert code == 0
    assert "warning: the recorded positions advance by 100 A along scan_y, the scan step is 1 A" in plain(out)


@pytest.mark.parametrize("scan", [(1, 1), (1, 32), (4, 4), (8, 8)])
def test_a_scan_too_small_for_figures_has_a_result(run, tmp_path, scan):
    from tiny_scan import write_scan

    write_scan(tmp_path / "scan.zarr", scan, chunks=(min(4, scan[0]), 4 if scan[1] > 1 else 1))
    settings = ["--set", "solver.iterations=2", "--set", "solver.finish=1"]
    code, out, err = run("reconstruct", tmp_path / "scan.zarr", "-o", tmp_path / "r.zarr", *settings)
    assert (code, err) == (0, "")
    small = scan != (8, 8)  # of 18 pixels: just large enough for a spectrum, in which nothing is found
    assert ("note: no power spectrum: the image has" in plain(out)) == small
    assert "r.zarr: iteration" in plain(out) and "resolution" not in plain(out)
    code, out, err = run("report", tmp_path / "r.zarr")
    assert (code, err) == (0, "")
    assert (tmp_path / "r.png").stat().st_size > 30_000
    figures = json.loads(run("report", tmp_path / "r.zarr", "--json")[1])
    assert figures["peak_limit_angstrom"] is None and figures["resolution_angstrom"] is None
    assert ("power_spectrum" in figures["remarks"]) == small and figures["loss"] > 0


def test_a_run_has_one_time(run, folder):
    _, out, _ = run("report", folder / "result.zarr", "-o", folder / "once.png", "--overwrite")
    told = re.search(r"iterations took \d+ s", plain((folder / "reconstruct.txt").read_text()))
    assert told is not None and told.group() in plain(out)
    (folder / "once.png").unlink()


def test_info_of_a_dataset_that_was_not_simulated(run, tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (4, 4, 32, 32))
    api.create_dataset(
        tmp_path / "mine [1].zarr", counts, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=100,
        angular_step_mrad=1.0, scan_step_angstrom=1.0, attributes={"specimen": "a [bold] guess"},
    )  # fmt: skip
    code, out, err = run("info", tmp_path / "mine [1].zarr")
    assert (code, err) == (0, "")
    assert "mine [1].zarr" in plain(out)
    assert "a [bold] guess" in plain(out)


def test_view(run, folder, tmp_path):
    np.save(tmp_path / "ring.npy", np.eye(48))
    words = ["--annulus", "5,12", "--mask", f"diagonal={tmp_path / 'ring.npy'}", "--workers", "1"]
    code, out, err = run("view", str(folder / "scan.zarr"), "-o", str(tmp_path / "all.png"), *words)
    assert (code, err) == (0, "")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    text = plain(out)
    assert "view: blocks 1/1" in text and "annulus_5_12, diagonal, com_y" in text and "8 x 8 pixels" in text
    again = run("view", str(folder / "scan.zarr"), "-o", str(tmp_path / "all.png"))
    assert again[0] == 2 and "exists" in again[2]


def test_plan(run, folder):
    code, out, _ = run("plan", folder / "scan.zarr")
    assert code == 0
    for word in ("patterns", "64", "events", "memory per worker", "ok", "cached counts", "time per iteration"):
        assert word in out, word
    code, out, _ = run("plan", folder / "scan.zarr", "--mask-damaged", "--set", "engine.threads=1")
    assert code == 0
    code, _, err = run("plan", folder / "scan.zarr", "--gpus", "first")
    assert code == 2 and "engine.gpus" in err
    settings = [
        f"--set=object.{text}" for text in ("slices=1000", "thickness_angstrom=1e4", "kind=complex", "positivity=false")
    ]
    code, out, err = run("plan", folder / "scan.zarr", *settings, "--workers=500")
    assert code == 2 and "memory per worker" in out and "time per iteration" not in out
    assert err.startswith("error: ") and "of memory" in err and err.count("\n") == 1


def test_reconstruct_says_what_it_did(folder):
    text = plain((folder / "reconstruct.txt").read_text())
    assert re.search(r"64 patterns of [\d.]+ electrons, 1 slice, 1 probe mode; 1 worker", text)
    assert "note: object.slices is unset" in text
    assert re.search(r"result\.zarr: iteration \d of \d, loss \d+\.\d+, validation", text)
    assert not (folder / "result.zarr.run").exists()


def test_report(run, folder, tmp_path):
    code, out, err = run("report", folder / "result.zarr", "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert figures["loss"] > 0
    assert figures["validation"] > 0
    assert -1 <= figures["correlation_2.5A"] <= 1
    picture = tmp_path / "figure.png"
    code, out, _ = run("report", folder / "result.zarr", "-o", picture)
    assert code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in out.replace("\n", "")


def test_export(run, folder, tmp_path):
    from PIL import Image

    code, _, err = run("export", folder / "result.zarr", "-o", tmp_path / "phase.tif")
    assert (code, err) == (0, "")
    phase = api.open_result(folder / "result.zarr").phase.values.astype(np.float32)
    with Image.open(tmp_path / "phase.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), phase)
    h5py = pytest.importorskip("h5py")
    code, out, _ = run("export", folder / "result.zarr", "-o", tmp_path / "result.h5")
    assert code == 0
    assert "result.h5: written" in plain(out)
    with h5py.File(tmp_path / "result.h5") as file:
        assert {"phase", "object", "probe", "positions"} <= set(file)


def test_a_job_file_and_settings(run, folder, tmp_path):
    (tmp_path / "job.toml").write_text("[solver]\niterations = 2\nfinish = 0\n[probe]\nmodes = 2\n")
    code, _, err = run(
        "reconstruct", folder / "scan.zarr", "-o", tmp_path / "r.zarr", "--config", tmp_path / "job.toml",
        "--set", "probe.modes=1", "--set", "object.slices=2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    result = api.open_result(tmp_path / "r.zarr")
    assert result.config.solver.iterations == 2
    assert result.probe.sizes["mode"] == 1
    assert result.object.sizes["slice"] == 2


def test_doctor(run):
    code, out, err = run("doctor", "--set", "engine.threads=3")
    assert (code, err) == (0, "")
    text = plain(out)
    assert re.search(r"ptychodask \d+\.\d+\.\d+", text) and "memory limit" in text
    assert re.search(r"would use: backend \w+, this process with 3 threads", text)
    code, out, err = run("doctor", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    assert {c["topic"] for c in found["checks"]} >= {"version", "optional", "machine", "device"}


def test_doctor_fails_where_something_is_wrong(run, monkeypatch):
    monkeypatch.setattr("ptychodask.distributed.cluster.CONNECT_SECONDS", 1)
    code, out, err = run("doctor", "--scheduler", "tcp://127.0.0.1:9")
    assert (code, err) == (1, "")
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in plain(out).replace("tcp: //", "tcp://")
    assert "wrong: engine" in out


# -- the configuration ---------------------------------------------------------------------------------------------


def test_schema_keeps_its_names(run):
    code, out, err = run("config", "--schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)

    def resolve(node: dict) -> dict:
        node = node.get("allOf", [node])[0]
        return schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node

    assert "low-dose" in resolve(schema["properties"]["preset"])["enum"]
    fixed = {"object": ("slices", "thickness_angstrom"), "probe": ("modes",), "solver": ("iterations", "residual")}
    for section, names in fixed.items():
        properties = resolve(schema["properties"][section])["properties"]
        for name in names:
            assert properties[name]["description"]


@pytest.mark.parametrize("preset", ["low-dose", "medium", "high-dose"])
def test_the_printed_configuration_feeds_back(run, tmp_path, preset):
    from ptychodask.model.config import JobConfig

    code, out, err = run("config", "--preset", preset)
    assert (code, err) == (0, "")
    assert tomllib.loads(out)["preset"] == preset
    (tmp_path / "job.toml").write_text(out)
    assert JobConfig.load(tmp_path / "job.toml") == JobConfig.parse({"preset": preset})
    code, _, err = run(
        "reconstruct", tmp_path / "absent.zarr", "-o", tmp_path / "r.zarr", "--config", tmp_path / "job.toml"
    )
    assert (code, "absent.zarr does not exist" in err) == (2, True)  # the job itself was taken


# -- bad input -----------------------------------------------------------------------------------------------------

NEW = ["-o", "{tmp}/new.zarr"]
BAD = {
    "verb": (["reconstrukt", "scan.zarr"], "Did you mean 'reconstruct'"),
    "option": (["reconstruct", "scan.zarr", *NEW, "--presett", "medium"], "--preset"),
    "no output": (["reconstruct", "scan.zarr"], "--output"),
    "missing store": (["reconstruct", "absent.zarr", *NEW], "absent.zarr does not exist"),
    "info of a missing store": (["info", "absent.zarr"], "does not exist"),
    "info of a result": (["info", "result.zarr"], "schema"),
    "existing result": (["reconstruct", "scan.zarr", "-o", "result.zarr"], "result.zarr exists.*--overwrite"),
    "dataset as result": (["reconstruct", "scan.zarr", "-o", "scan.zarr", "--overwrite"], "is a ptychodask dataset"),
    "view of a missing store": (["view", "absent.zarr"], "does not exist"),
    "view's annulus": (["view", "scan.zarr", "-o", "{tmp}/a.png", "--annulus", "20-60"], "INNER,OUTER in mrad"),
    "view's angles": (["view", "scan.zarr", "-o", "{tmp}/a.png", "--annulus", "60,20"], "inner one below"),
    "view's mask": (["view", "scan.zarr", "-o", "{tmp}/a.png", "--mask", "ring"], "NAME=FILE"),
    "view's mask file": (["view", "scan.zarr", "-o", "{tmp}/a.png", "--mask", "a=absent.npy"], "absent.npy cannot be"),
    "view's ending": (["view", "scan.zarr", "-o", "{tmp}/a.docx"], "no picture ends"),
    "view's two places": (
        ["view", "scan.zarr", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"],
        "give one of them",
    ),
    "existing dataset": (["simulate", "scan.zarr"], "scan.zarr exists"),
    "setting": (["reconstruct", "scan.zarr", *NEW, "--set", "solver.iteratons=3"], "did you mean solver.iterations"),
    "setting, in short": (["reconstruct", "scan.zarr", *NEW, "-s", "solver.iteratons=3"], "did you mean solver.iter"),
    "plan's setting, in short": (["plan", "scan.zarr", "-s", "solver.iteratons=3"], "did you mean solver.iterations"),
    "tune's setting, in short": (
        ["tune", "scan.zarr", "--over", "object.thickness=1:2", "-o", "{tmp}/b.toml", "-s", "solver.iteratons=3"],
        "did you mean solver.iterations",
    ),
    "watch's setting, in short": (
        ["watch", "a.npy", *NEW, "-s", "solver.iteratons=3"],
        "did you mean solver.iterations",
    ),
    "doctor's setting, in short": (["doctor", "-s", "solver.iteratons=3"], "did you mean solver.iterations"),
    "setting's section": (["reconstruct", "scan.zarr", *NEW, "--set", "slover.iterations=3"], "did you mean solver"),
    "setting without value": (["reconstruct", "scan.zarr", *NEW, "--set", "solver.iterations"], "section.name=value"),
    "setting's value": (["reconstruct", "scan.zarr", *NEW, "--set", "solver.iterations=0"], "solver.iterations = 0"),
    "preset": (["reconstruct", "scan.zarr", *NEW, "--preset", "lowdose"], "'low-dose'"),
    "preset of config": (["config", "--preset", "lowdose"], "'low-dose'"),
    "TOML": (["reconstruct", "scan.zarr", *NEW, "--config", "bad.toml"], "bad.toml is not valid TOML"),
    "no TOML": (["reconstruct", "scan.zarr", *NEW, "--config", "absent.toml"], "absent.toml cannot be read"),
    "workers": (["reconstruct", "scan.zarr", *NEW, "--workers", "0"], "--workers"),
    "two places": (["reconstruct", "scan.zarr", *NEW, "--workers", "2", "--gpus", "all"], "are two places to run"),
    "devices": (["reconstruct", "scan.zarr", *NEW, "--gpus", "first"], "engine.gpus"),
    "half of TLS": (["reconstruct", "scan.zarr", *NEW, "--set", "engine.tls_cert=me.pem"], "TLS needs all of"),
    "slices without thickness": (["reconstruct", "plain.zarr", *NEW, "--set", "object.slices=3"], "thickness_angstrom"),
    "study": (["study", "absent.toml", "-o", "{tmp}/new.zarr"], "absent.toml cannot be read"),
    "search": (
        ["tune", "scan.zarr", "--over", "object.thicknes=1:2", "-o", "{tmp}/b.toml"],
        "did you mean object.thick",
    ),
    "material": (["simulate", "{tmp}/new.zarr", "--material", "zif8"], "did you mean 'zif-8'"),
    "structure file": (["simulate", "{tmp}/new.zarr", "--material", "absent.cif"], "absent.cif' does not exist"),
    "semi-angle": (["simulate", "{tmp}/new.zarr", "--semi-angle", "50"], "exceeds the detector's"),
    "defocus": (["simulate", "{tmp}/new.zarr", "--defocus", "5000"], "use less defocus"),
    "defocus twice": (["simulate", "{tmp}/new.zarr", "--aberration", "C10=-300"], "give defocus_angstrom = 300"),
    "aberration twice": (
        ["simulate", "{tmp}/new.zarr", "--aberration", "C30=1e7", "--aberration", "C30 =2e7"],
        "--aberration C30 is given twice",
    ),
    "angle alone": (["simulate", "{tmp}/new.zarr", "--aberration", "phi12=0.4"], "C12, which is not given"),
    "nothing held out": (
        ["reconstruct", "scan.zarr", *NEW, "--set", "solver.validation_fraction=0"],
        "input should be greater than 0, or none",
    ),
    "defocus of the job": (
        ["reconstruct", "scan.zarr", *NEW, "--set", "probe.defocus_angstrom=5000"],
        "use less defocus",
    ),
    "number": (["simulate", "{tmp}/new.zarr", "--thickness", "thick"], "--thickness"),
    "dose": (["simulate", "{tmp}/new.zarr", "--dose", "-1"], "dose"),
    "scan": (["simulate", "{tmp}/new.zarr", "--scan", "0", "4"], "scan"),
    "aberration": (["simulate", "{tmp}/new.zarr", "--aberration", "C30"], "NAME=VALUE"),
    "aberration's name": (["simulate", "{tmp}/new.zarr", "--aberration", "Cs=1e7"], "'Cs' is not known"),
    "output folder": (["simulate", "{tmp}/absent/new.zarr"], "absent does not exist"),
    "result's folder": (["reconstruct", "scan.zarr", "-o", "{tmp}/absent/new.zarr"], "absent does not exist"),
    "folder of other files": (["simulate", "thesis", "--overwrite"], "other files"),
    "nothing to resume": (["resume", "{tmp}/new.zarr"], "nothing to resume"),
    "report of a dataset": (["report", "scan.zarr"], "schema"),
    "report of nothing": (["report", "absent.zarr", "--json"], "does not exist"),
    "structure of a missing result": (["structure", "absent.zarr"], "does not exist"),
    "structure's ending": (["structure", "result.zarr", "-o", "{tmp}/a.docx"], "no picture ends"),
    "structure without a lattice": (["structure", "result.zarr", "-o", "{tmp}/a.png"], "no lattice found|at least"),
    "structure's crystal": (["structure", "result.zarr", "-o", "{tmp}/a.png", "--structure", "zif8"], "'zif-8'"),
    "report over a folder": (["report", "result.zarr", "-o", "thesis", "--overwrite"], "thesis"),
    "export of a dataset": (["export", "scan.zarr", "-o", "{tmp}/new.tif"], "schema"),
    "export's ending": (["export", "result.zarr", "-o", "{tmp}/new.bmp"], r"use \.tif, \.mrc, \.zarr or \.h5"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(run, folder, tmp_path, name, monkeypatch):
    monkeypatch.chdir(folder)
    Path("bad.toml").write_text("[solver\niterations = 2")
    Path("thesis").mkdir(exist_ok=True)
    Path("thesis/chapter.tex").touch()
    if not Path("plain.zarr").exists():
        api.create_dataset(
            "plain.zarr", np.ones((4, 4, 32, 32), np.uint8), energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=100,
            angular_step_mrad=1.0, scan_step_angstrom=1.0,
        )  # fmt: skip
    before = sorted(p.name for p in folder.iterdir())
    for place in ("simulation.run", "jobs.launch", "jobs.viewing.run"):  # nothing is computed
        place = f"ptychodask.{place}.connect"
        monkeypatch.setattr(place, lambda *arguments, **kwargs: pytest.fail("a cluster was started"))
    arguments, message = BAD[name]
    code, out, err = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert re.search(message, err), err
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_missing_shard_is_bad_input(run, tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (4, 4, 32, 32))
    path = api.create_dataset(
        tmp_path / "scan.zarr", counts, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=100,
        angular_step_mrad=1.0, scan_step_angstrom=1.0, chunks=(2, 2),
    )  # fmt: skip
    next(p for p in (path / "counts" / "c").rglob("*") if p.is_file()).unlink()
    for verb in (["info", path], ["reconstruct", path, "-o", tmp_path / "r.zarr"]):
        code, _, err = run(*verb)
        assert code == 2
        assert "1 of 4 shards of counts are missing" in err
        assert err.count("\n") == 1


def test_a_damaged_shard_is_bad_input(run, tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (4, 4, 32, 32))
    path = api.create_dataset(
        tmp_path / "scan.zarr", counts, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=100,
        angular_step_mrad=1.0, scan_step_angstrom=1.0, chunks=(2, 2),
    )  # fmt: skip
    file = next(p for p in (path / "counts" / "c" / "1" / "1").rglob("*") if p.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    code, _, err = run("reconstruct", path, "-o", tmp_path / "r.zarr")
    assert code == 2
    assert "scan.zarr: the counts of scan rows 2 to 3, columns 2 to 3 cannot be read" in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["scan.zarr"]


def test_a_divergence_is_1_and_an_interrupt_130(run, folder, tmp_path, monkeypatch):
    from ptychodask import DivergenceError, StoppedError

    def stop(error):
        def raising(*arguments, **options):
            raise error

        return raising

    command = ["reconstruct", folder / "scan.zarr", "-o", tmp_path / "r.zarr"]
    monkeypatch.setattr(api, "reconstruct", stop(DivergenceError("it\ndiverges")))
    assert run(*command)[::2] == (1, "error: it diverges\n")
    monkeypatch.setattr(api, "reconstruct", stop(StoppedError("the scheduler\nis gone")))
    assert run(*command)[::2] == (1, "error: the scheduler is gone\n")
    monkeypatch.setattr(api, "reconstruct", stop(OSError(errno.ENOSPC, "No space left on device", "r.zarr.run")))
    assert run(*command)[::2] == (
        1,
        "error: [Errno 28] No space left on device: 'r.zarr.run': make room and try again\n",
    )
    monkeypatch.setattr(api, "reconstruct", stop(KeyboardInterrupt()))
    assert run(*command)[::2] == (130, "interrupted\n")


def test_an_interrupt_says_how_to_go_on_only_where_there_is_a_run(run, folder, tmp_path, monkeypatch):
    """Not in a folder of somebody else, which the run would have refused a moment later."""
    from ptychodask.io.checkpoint import RunFolder

    command, place = ["reconstruct", folder / "scan.zarr", "-o", tmp_path / "r.zarr"], tmp_path / "r.zarr.run"
    monkeypatch.setattr(api, "reconstruct", Mock(side_effect=KeyboardInterrupt))
    place.mkdir()
    (place / "thesis.txt").write_text("years")
    assert run(*command)[::2] == (130, "interrupted\n")
    (place / "thesis.txt").unlink()
    RunFolder.of(tmp_path / "r.zarr").write_json("job.json", {"schema": 1, "data": "scan.zarr"})
    monkeypatch.setattr(RunFolder, "identity", lambda its: its.read_json("job.json"))
    target = tmp_path / "r.zarr"
    assert run(*command)[::2] == (130, f"interrupted: {target} resumes with: ptychodask resume {target}\n")


@pytest.mark.parametrize(
    ("verb", "words", "told"),
    [
        ("watch", ["scan.npy", "-o", "r.zarr"], "the same command goes on"),
        ("halves", ["r.zarr"], "what is finished is kept, the same command goes on"),
        ("tune", ["scan.zarr", "-o", "t", "--over", "probe.defocus=1:2"], "finished trials are kept, the same command"),
    ],
)
def test_an_interrupt_of_what_is_kept_says_so(run, monkeypatch, verb, words, told):
    monkeypatch.setattr(api, verb, Mock(side_effect=KeyboardInterrupt))
    code, _, err = run(verb, *words)
    assert code == 130 and err.startswith(f"interrupted: {told}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "ignored", "expected"),
    [
        (signal.SIGTERM, False, (143, "terminated\n")),
        (signal.SIGHUP, False, (129, "the terminal was closed\n")),
        (signal.SIGHUP, True, (1, "error: it went on\n")),  # as nohup has it
    ],
)
def test_signals_that_end_a_process(run, tmp_path, monkeypatch, number, ignored, expected):
    from ptychodask import StoppedError

    def interrupted(*arguments, **options):
        signal.raise_signal(number)
        raise StoppedError("it went on")

    signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    monkeypatch.setattr(api, "reconstruct", interrupted)
    assert run("reconstruct", "scan.zarr", "-o", tmp_path / "r.zarr")[::2] == expected
    again = signal.getsignal(number)
    assert again is signal.SIG_IGN  # batch systems repeat it, and the checkpoint takes a moment


def test_a_warning_is_one_line(run, folder, monkeypatch):
    """Of a verb that has no run, whose events say it."""
    from ptychodask._warnings import warn

    dataset_info = asked.dataset_info
    monkeypatch.setattr(
        asked, "dataset_info", lambda path, **options: warn("doubtful") or dataset_info(path, **options)
    )
    code, _, err = run("info", folder / "scan.zarr")
    assert code == 0 and err == "warning: doubtful\n"
