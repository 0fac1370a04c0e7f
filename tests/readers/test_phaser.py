"""phaser's description: units and signs of its own, the raw file beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers.counted import Orientation
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

SAID = {
    "file_type": "empad_metadata", "name": "mos2", "version": "2.0", "raw_filename": "scan.raw", "voltage": 80000.0,
    "conv_angle": 25.0, "defocus": 12e-9, "diff_step": 0.78, "scan_shape": [3, 2], "scan_fov": [3e-9, 2e-9],
    "scan_step": [0.5e-10, 0.4e-10], "adu": 375.0, "scan_rotation": 0.0, "crop": None,
}  # fmt: skip
VALUES = np.random.default_rng(7).normal(100, 50, (6, 130, 128)).astype("<f4")


def write(folder: Path, version: int = 1, **changes: object) -> Path:
    (VALUES if version == 1 else VALUES[:, :128]).tofile(folder / "scan.raw")
    path = folder / "scan.json"
    path.write_text(json.dumps({**SAID, "empad_version": version, **changes}))
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_scan_and_calibration(tmp_path, version):
    form, reader = opened(write(tmp_path, version))
    assert form.name == "phaser" and reader.shape == (2, 3, 128, 128)
    np.testing.assert_array_equal(reader.read((0, 2), (0, 3)), VALUES[:, :128].reshape(2, 3, 128, 128))
    assert reader.about.metadata == {
        "energy_ev": 80e3, "semi_angle_mrad": 25.0, "angular_step_mrad": 0.78, "gain_adu": 375.0,
        "scan_step_angstrom": pytest.approx([0.4, 0.5]), "defocus_angstrom": pytest.approx(-120.0),
    }  # fmt: skip


@pytest.mark.parametrize("code", range(8))
def test_how_phaser_turns_patterns(tmp_path, code):
    flips = [bool(code & 4), bool(code & 2), bool(code & 1)]
    pattern = np.arange(25).reshape(5, 5)  # of an odd side, around whose middle both turn
    turned = pattern[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1]
    turned = turned.T if flips[2] else turned
    (note,) = open_counts(write(tmp_path, det_flips=flips)).about.notes
    ours = Orientation(*(f"--{name}" in note for name in ("flip", "transpose", "rotate180")))
    np.testing.assert_array_equal(ours.applied(pattern), turned)
    assert ("as nothing does" in note) == (code == 0)


def test_what_is_not_used_is_said(tmp_path):
    path = write(tmp_path, scan_rotation=12.0, scan_positions=[[0, 0]] * 6, defocus=None)
    reader = open_counts(path)
    assert "defocus_angstrom" not in reader.about.metadata
    assert [note.split("(")[1] for note in reader.about.notes[1:]] == ["scan_positions)", "scan_rotation)"]
    assert open_counts(path, asked=Asked((3, 2))).shape[:2] == (3, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raw_filename": "other.raw"}, "names the raw file 'other.raw', which is not beside it"),
        ({"raw_filename": 3}, "names no raw_filename"),
        ({"voltage": "300 kV"}, "voltage = '300 kV': 1 number is read"),
        ({"scan_shape": [4, 2]}, "6 whole frames.*its header says 2 x 4"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        open_counts(write(tmp_path, **changes))
    (tmp_path / "scan.json").write_text('{"raw_filename": ')
    with pytest.raises(InputError, match="cannot be read as phaser's description"):
        open_counts(tmp_path / "scan.json")
