"""Small files in the layouts in which other programs keep a reconstruction, written by hand.

What a real run of each program on such a scan wrote, of which the parts that are read, and some that are not, are
written here: PtyRAD 1.0.0, py4DSTEM 0.14.18 with emdfile 0.0.16, phaser 0.3.1. Every one takes phases [S, y, x] in rad,
a probe [M, N, N] whose centre is at N // 2, and where that centre stood, [J, 2] in pixels of the object.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_scan import BLUR, MICROSCOPE, PEAKS, PIXEL, N

import ptychodask
from ptychodask.model.optics import wavelength
from ptychodask.physics.probe import make_probe

FEW = {**BLUR, "solver": {"iterations": 2, "patience": 3, "finish": 0}}


def write_ptyrad(
    path: Path, phases: np.ndarray, probe: np.ndarray, centres: np.ndarray, pixel: float, ev: float
) -> None:
    """``model_iter0040.hdf5``; its windows begin at whole pixels, from which the probe is shifted."""
    corners = np.floor(centres).astype("i4") - probe.shape[-1] // 2
    tensors = {
        "objp": phases[None].astype("f4"),
        "obja": np.full_like(phases[None], 0.9, dtype="f4"),
        "probe": probe.astype("c8"),
        "probe_pos_shifts": (centres - np.floor(centres)).astype("f4"),
        "obj_tilts": np.zeros((1, 2), "f4"),
    }
    about = {"crop_pos": corners, "dx": np.float32(pixel), "lambd": np.float32(wavelength(ev))}
    _write(path, {"ptyrad_version": "1.0.0", "optimizable_tensors": tensors, "model_attributes": about, "niter": 40})


def write_py4dstem(
    path: Path, phases: np.ndarray, probe: np.ndarray, centres: np.ndarray, pixel: float, ev: float, real: bool = True
) -> None:
    """``py4DSTEM.save(path, reconstruction)``; of a real object (a potential) or a complex one."""
    maker = "MixedstateMultislicePtychography" if real else "SingleslicePtychography"
    values, waves = (phases.astype("f4"), np.fft.ifftshift(probe, axes=(-2, -1))) if real else (None, None)
    if values is None:  # single slice, single mode: two axes
        values, waves = np.exp(1j * phases[0]).astype("c8"), np.fft.ifftshift(probe[0])
    bundle = {
        "instantiation_metadata": {"energy": ev, "object_type": "potential" if real else "complex"},
        "preprocess_metadata": {"positions_px": centres.astype("f4"), "sampling": np.array([pixel, pixel])},
    }
    its = {"_object_emd": {"data": values}, "_probe_emd": {"data": waves / 32}, "metadatabundle": bundle}
    file = {"reconstruction_root": {"reconstruction": its}}
    _write(path, file, {"reconstruction_root/reconstruction": {"emd_group_type": "custom", "python_class": maker}})


def write_phaser(
    path: Path, phases: np.ndarray, probe: np.ndarray, centres: np.ndarray, pixel: float, ev: float
) -> None:
    """``iter060.h5``; positions are about 0, and the probe's box, not its centre, is at them; any constant phase."""
    corner, step = np.array([-14.0, -12.4]), np.array([pixel, pixel])
    middle = (probe.shape[-1] - 1) / 2 - probe.shape[-1] // 2
    positions = corner + (centres + middle) * pixel
    state = {
        "type": "phaser_state",
        "version": "0.2",
        "wavelength": wavelength(ev),
        "object": {"data": np.exp(1j * (phases - 2.9)).astype("c8"), "sampling": step, "corner": corner},
        "probe": {"data": probe.astype("c8"), "sampling": step},
        "scan": {"data": positions, "initial": positions},
    }
    _write(path, state)


def _write(path: Path, content: dict[str, Any], attributes: dict[str, dict[str, str]] | None = None) -> None:
    h5py = pytest.importorskip("h5py")

    def put(group: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                put(group.create_group(name), value)
            else:
                group[name] = value

    with h5py.File(path, "w") as file:
        put(file, content)
        for name, its in (attributes or {}).items():
            file[name].attrs.update(its)


SCAN, SHAPE, CORNER = (8, 7), (60, 57), (-9.1, -7.3)
"""A scan whose axes differ; the files' object has other pixels than a run's, and begins at ``CORNER``, angstrom."""
WRITERS = {
    "ptyrad": write_ptyrad,
    "py4dstem": write_py4dstem,
    "py4dstem-complex": functools.partial(write_py4dstem, real=False),
    "phaser": write_phaser,
}


def truth(y, x):
    """Phase in rad at coordinates in angstrom."""
    y, x = y[:, None], x[None, :]
    return sum(h * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 0.6**2)) for cy, cx, h in PEAKS)


def write(kind, path, scan, probe=None, **options):
    """A file of a kind with the true object, in the frame that a program makes of its own."""
    positions = ptychodask.open_dataset(scan).positions.values.reshape(-1, 2)
    coordinates = [corner + PIXEL * np.arange(n) for corner, n in zip(CORNER, SHAPE, strict=True)]
    probe = make_probe(MICROSCOPE, N, PIXEL, 5.0)[None] if probe is None else probe
    given = {
        "phases": truth(*coordinates)[None],
        "probe": probe,
        "centres": (positions - CORNER) / PIXEL,
        "pixel": PIXEL,
        "ev": 300e3,
    }
    WRITERS[kind](path, **{**given, **options})
    return str(path)


def with_start(section, path):
    return {**FEW, section: {**FEW.get(section, {}), "start": str(path)}}
