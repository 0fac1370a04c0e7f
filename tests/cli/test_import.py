"""``ptychodask import`` from end to end."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from ptychodask.io.dataset import open_dataset

COUNTS = np.random.default_rng(0).poisson(0.4, (4, 6, 16, 16)).astype("<u2")


def run(folder, *words: str):
    command = [sys.executable, "-m", "ptychodask", "import", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_raw_frames_become_a_dataset(tmp_path):
    (tmp_path / "scan.bin").write_bytes(b"12345" + COUNTS.tobytes())
    words = ["scan.bin", "-o", "scan.zarr", "--dtype", "<u2", "--offset", "5", "--scan", "4", "6", "--semi-angle", "8"]
    done = run(tmp_path, *words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: the file does not say all") and "--energy (keV" in done.stderr
    done = run(tmp_path, *words, "--energy", "300", "--step", "1.05", "--angular-step", "1.6")
    assert done.returncode == 0, done.stderr
    assert "import: shards 1/1" in done.stdout and "300 keV" in done.stdout and "--defocus" in done.stdout
    np.testing.assert_array_equal(open_dataset(tmp_path / "scan.zarr").counts.values, COUNTS)
    again = run(tmp_path, *words, "--energy", "300", "--step", "1.05", "--angular-step", "1.6")
    assert again.returncode == 2 and "exists" in again.stderr


def test_electrons_are_counted(tmp_path):
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.1, (4, 6, 16, 16))
    np.save(tmp_path / "scan.npy", (100 + 50 * counts + rng.normal(0, 4, counts.shape)).astype("f4"))
    words = [
        "scan.npy",
        "-o",
        "scan.zarr",
        "--energy",
        "300",
        "--step",
        "1",
        "--angular-step",
        "1.6",
        "--semi-angle",
        "8",
    ]
    refused = run(tmp_path, *words)
    assert refused.returncode == 2 and "or --count, which finds" in refused.stderr and refused.stderr.count("\n") == 1
    done = run(tmp_path, *words, "--count")
    assert done.returncode == 0, done.stderr
    assert "mis-counted" in done.stdout and "0 hot, 0 dead" in done.stdout
    assert np.mean(open_dataset(tmp_path / "scan.zarr").counts.values != counts) < 1e-3
    both = run(tmp_path, *words, "--count", "--gain", "50", "--overwrite")
    assert both.returncode == 2 and "give one of them" in both.stderr
