"""Two scans of one area on a CUDA device: the processor's image and probes, and the same bits in threads."""

from __future__ import annotations

import numpy as np
import pytest
from pair_scan import OFFSET, write_pair
from tiny_scan import bits

import ptychodask
from ptychodask._array import cupy_available

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy_available(), reason="no CUDA device with CuPy"),
]

JOB = {"data": {"offsets": [OFFSET]}, "probe": {"modes": 2, "update_start": 2}}
BLUR = {**JOB, "object": {"regularisation": "blur"}, "solver": {"iterations": 6, "finish": 2, "patience": 9}}
WAYS = {
    "blur": BLUR,
    "tiles": {**BLUR, "engine": {"tile_pixels": 32}},
    "spectral": {"data": JOB["data"], "solver": {"iterations": 7}},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("way", WAYS)
def test_the_processors_image_and_probes_and_the_same_bits_in_threads(pair, way):
    def run(**engine):
        return ptychodask.reconstruct(pair, {**WAYS[way], "engine": {**WAYS[way].get("engine", {}), **engine}})

    cpu, one, three = run(backend="cpu"), run(backend="cupy", threads=1), run(backend="cupy", threads=3)
    assert bits(one) == bits(three)
    pairs = [(one.object, cpu.object)]
    pairs += [(found.probe, expected.probe) for found, expected in zip(one.scans, cpu.scans, strict=True)]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * float(abs(expected).max()))
    np.testing.assert_allclose(one.history["loss"], cpu.history["loss"], rtol=1e-4)
