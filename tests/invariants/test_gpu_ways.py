"""Each way of a run on a CUDA device: prior, tiles, geometry, positions, partial coherence, descan, tangents: the
processor's image, and the same bits in one thread and in several."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny_scan
from tiny_scan import MICROSCOPE, PIXEL, bits, write_scan

import ptychodask
from ptychodask._array import cupy_available
from ptychodask.io.dataset import dataset_info
from ptychodask.io.geometry import write_geometry
from ptychodask.model.geometry import Geometry

N = 64
"""Pixels; waves of so many stay in shared memory through all slices."""
PEAKS = tuple((2.0 + 3 * i, 2.0 + 3 * j, 0.5) for i in range(5) for j in range(5))
SPECTRAL = {"object": {"regularisation": "spectral", "slices": 2, "thickness_angstrom": 40.0}}
BLUR = {"object": {"regularisation": "blur", "slices": 2, "thickness_angstrom": 20.0}, "solver": {"iterations": 6}}
WAYS = {
    "spectral": SPECTRAL,
    "spectral in tiles": {**SPECTRAL, "engine": {"tile_pixels": 40}},
    "modes": {**BLUR, "probe": {"modes": 3, "update_start": 2}},
    "background": {**SPECTRAL, "solver": {"background": True}},
    "refined": {**BLUR, "geometry": {"refine": "auto"}},
    "refined beside the prior": {**SPECTRAL, "geometry": {"refine": ["rotation", "defocus"]}},
    "refined drift": {**BLUR, "geometry": {"refine": ["rotation", "defocus", "drift"]}},
    "positions of wrong": {**SPECTRAL, "geometry": {"refine": ["positions"]}, "solver": {"iterations": 9}},
    "source size": {**SPECTRAL, "probe": {"modes": 6, "source_size_angstrom": 0.4}},
    "descan": SPECTRAL,
    "tangents": {**BLUR, "solver": {"iterations": 6, "step_rule": "tangent", "tangent_stride": 3}},
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            "cupy",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not cupy_available(), reason="no CUDA device with CuPy")],
        )
    ],
)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A usual scan, one whose disk moves by two pixels, and one of more electrons that says a wrong geometry."""
    folder = tmp_path_factory.mktemp("scans")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_scan, "N", N)
        angle = MICROSCOPE.wavelength / (N * PIXEL) * 1e3
        usual, moving, wrong = (
            write_scan(
                folder / f"{name}.zarr", (16, 14), electrons=e, chunks=(5, 5), peaks=PEAKS, angular_step_mrad=angle
            )
            for name, e in (("scan", 300.0), ("descan", 300.0), ("wrong", 3000.0))
        )
    still, aberrations = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), dataset_info(usual).microscope.aberrations
    centre = np.array([[32.0, 0.15, 0.0], [31.0, 0.0, 0.15]])
    write_geometry(moving, still, aberrations, {}, centre=centre)
    turned = np.column_stack([Geometry(math.radians(3.0)).matrix, np.zeros(2)])
    write_geometry(wrong, turned, {**aberrations, "C10": aberrations["C10"] - 30.0}, {})
    return {"scan": usual, "descan": moving, "refined": wrong}


@pytest.mark.parametrize("way", WAYS)
def test_the_processors_image_and_the_same_bits_in_threads(backend, scans, way):
    scan = scans.get(way.split()[0], scans["refined" if "positions" in way else "scan"])

    def run(engine):
        return ptychodask.reconstruct(scan, {**WAYS[way], "engine": {**WAYS[way].get("engine", {}), **engine}})

    cpu, one, three = (run(e) for e in ({"backend": "cpu"}, *({"backend": backend, "threads": t} for t in (1, 3))))
    assert bits(one) == bits(three)
    scale = np.abs(cpu.phase.values).max()
    assert scale > 0.05 and one.iteration == cpu.iteration
    difference = np.sqrt(np.mean((one.phase.values - cpu.phase.values) ** 2))
    assert difference < 2e-3 * scale
    np.testing.assert_allclose(one.history["loss"], cpu.history["loss"], rtol=1e-4)
    assert ("refined" in way or "positions" in way) == any("refined" in found["how"] for found in one.geometry.values())
    for name, found in one.geometry.items():
        assert found["value"] == pytest.approx(cpu.geometry[name]["value"], abs=0.05 * (found["sigma"] or 1.0))
