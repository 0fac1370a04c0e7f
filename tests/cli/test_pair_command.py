"""A pair of scans through the command line, as a person types it."""

from __future__ import annotations

import re
import signal
import sys

import numpy as np
import pytest

pytest.importorskip("abtem")
pytest.importorskip("ase")

import ptychodask
from ptychodask.cli import main
from ptychodask.io.dataset import read_truth

SMALL = ["--material", "zif-8", "--scan", "28", "28", "--detector", "48", "--angular-step", "0.8", "--thickness", "17",
         "--seed", "3"]  # fmt: skip
OFFSET = (2.1, -1.3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a command line in a folder; gives exit code, standard output and standard error as plain text."""
    place = tmp_path_factory.mktemp("work")

    def call(capsys, *arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            patch.setattr(signal, "signal", lambda number, handler: None)
            patch.setattr(sys, "argv", ["ptychodask", *map(str, arguments)])
            capsys.readouterr()
            with pytest.raises(SystemExit) as left:
                main()
        plain = (" ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split()) for text in capsys.readouterr())
        return left.value.code, *plain, place

    return call


def test_a_pair_is_simulated_reconstructed_and_drawn(run, capsys):
    at = ["--offset", *map(str, OFFSET)]
    code, out, err, place = run(
        capsys, "simulate", "pair.zarr", *SMALL, "--defocus", "300,500", "--split-dose", "--dose", "2000", *at
    )
    assert (code, err) == (0, "")
    scans = [place / "pair-1.zarr", place / "pair-2.zarr"]
    for number, (path, defocus) in enumerate(zip(scans, (300, 500), strict=True)):
        data = ptychodask.open_dataset(path)
        assert data.attrs["dose_per_square_angstrom"] == pytest.approx(1000, rel=0.02)
        assert data.attrs["aberrations"]["C10"] == -defocus
        moved = read_truth(path).positions.values - data.positions.values.reshape(-1, 2)
        np.testing.assert_allclose(moved, np.tile(number * np.array(OFFSET), (784, 1)), atol=1e-9)
    counts = [ptychodask.open_dataset(path).counts.values for path in scans]
    assert not np.array_equal(*counts)
    settings = ["--set", "solver.iterations=4", "--set", "solver.finish=1"]
    code, out, err, place = run(capsys, "reconstruct", "pair-1.zarr", "pair-2.zarr", "-o", "result.zarr", *settings)
    assert code == 0
    told = re.search(r"scan 2 lies at \(([+-][\d.]+), ([+-][\d.]+)\) A of scan 1", out)
    assert told is not None
    np.testing.assert_allclose([float(value) for value in told.groups()], OFFSET, atol=0.2)
    code, out, err, place = run(capsys, "report", "result.zarr")
    assert code == 0 and (place / "result.png").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--defocus", "400,x"], "--defocus 400,x: give a number in angstrom, or several with commas"),
        (["--split-dose"], "--split-dose and --offset are for several scans"),
        (["--offset", "1", "2"], "--split-dose and --offset are for several scans"),
    ],
    ids=str,
)
def test_what_makes_no_pair_is_refused(run, capsys, arguments, told):
    code, _, err, place = run(capsys, "simulate", "none.zarr", *SMALL, *arguments)
    assert code == 2 and told in err
    assert not list(place.glob("none*"))


def test_other_verbs_take_one_dataset(run, capsys):
    code, _, err, _ = run(capsys, "plan", "pair-1.zarr", "pair-2.zarr")
    assert code == 2 and "unexpected extra argument" in err
