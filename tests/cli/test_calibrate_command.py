"""``ptychodask calibrate`` from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))

import scans


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("work")
    scans.write(place / "scan.zarr", scans.counts())
    return place


def run(folder, *words: str):
    command = [sys.executable, "-m", "ptychodask", "calibrate", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_table_picture_and_written_dataset(folder):
    words = ["scan.zarr", "-o", "scan.png", "--no-transpose", "--rotation", "25", "--write"]
    done = run(folder, *words)
    assert done.returncode == 0, done.stderr
    assert "25.000 °" in done.stdout and "given" in done.stdout and "written" in done.stdout
    assert (folder / "scan.png").read_bytes().startswith(b"\x89PNG")
    again = run(folder, *words)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "exists" in again.stderr
    done = run(folder, "scan.zarr", "--json", "--no-transpose", "--rotation", "25")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and set(told["defocus_angstrom"]) == {"value", "sigma", "how"}
    assert told["transpose"]["value"] is False and told["rotation_degrees"]["sigma"] is None
    said = json.loads((folder / "scan.zarr" / "zarr.json").read_text())["attributes"]
    assert said["aberrations"]["C10"] == pytest.approx(-told["defocus_angstrom"]["value"], abs=0.1)


def test_help_says_the_conventions_and_errors_are_one_line(folder):
    done = run(folder, "--help")
    text = " ".join(done.stdout.split())
    for words in ("underfocus", "entrance surface", "rows and columns", "exp(-i chi)", "--no-transpose"):
        assert words in text
    for words, told in (
        (["absent.zarr"], "does not exist"),
        (["scan.zarr", "--phi12", "1"], "c12_angstrom"),
        (["scan.zarr", "--workers", "2", "--scheduler", "tcp://a:1"], "one of them"),
    ):
        done = run(folder, *words)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert told in done.stderr
