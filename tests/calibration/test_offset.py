"""Where two scans lie to each other: known shifts, other steps and directions, crystals, and nothing in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychodask import InputError
from ptychodask.calibration.bright_field import hann
from ptychodask.calibration.offset import CLEAR, FINER, PhaseMap, _finer, is_certain, offset_of


def seen(shape, step, turn=0.0, origin=(0.0, 0.0), at=(0.0, 0.0), specimen=None, noise=0.0, seed=0):
    """The map of a scan whose frame begins at ``at`` of the specimen."""
    turned = np.deg2rad(turn)
    matrix = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]]) * step
    nodes = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    positions = nodes @ matrix.T + np.array(origin) + np.array(at)
    image = specimen(positions[..., 0], positions[..., 1])
    image = image + noise * np.random.default_rng(seed).standard_normal(shape)
    image = (image - image.mean()) * np.outer(hann(shape[0]), hann(shape[1]))
    return PhaseMap(_finer(image), matrix / FINER, np.array(origin))


def disorder(seed=3, number=300):
    """Waves of all directions, up to 0.4 per angstrom."""
    rng = np.random.default_rng(seed)
    q, phases = rng.uniform(-0.4, 0.4, (number, 2)), rng.uniform(0, 2 * np.pi, number)

    def values(y, x):
        waves = (np.cos(2 * np.pi * (qy * y + qx * x) + p) for (qy, qx), p in zip(q, phases, strict=True))
        return sum(waves) / np.sqrt(number / 2)

    return values


def crystal(y, x):
    return np.cos(2 * np.pi * y / 6.0) + np.cos(2 * np.pi * x / 7.0)


@pytest.mark.parametrize("turn", [0.0, 30.0])
@pytest.mark.parametrize("at", [(0.0, 0.0), (3.21, -0.84), (-7.4, 5.6)], ids=str)
def test_the_place_of_a_scan_is_found(at, turn):
    specimen = disorder()
    first = seen((36, 36), 1.0, specimen=specimen, noise=0.1)
    second = seen((40, 32), 1.1, turn, (2.0, 1.0), at, specimen, 0.1, seed=1)
    found = offset_of(first, second)
    assert is_certain(found)
    away = np.abs(np.array(found.angstrom) - at)
    assert away.max() < 0.2
    assert all(5e-4 < e < 0.1 for e in found.error)
    assert found.rival is None


def test_the_error_is_that_of_the_noise():
    specimen, away, said = disorder(), [], []
    for draw in range(12):
        first = seen((36, 36), 1.0, specimen=specimen, noise=1.0, seed=2 * draw)
        second = seen((36, 36), 1.0, at=(1.3, 0.4), specimen=specimen, noise=1.0, seed=2 * draw + 1)
        found = offset_of(first, second)
        away.append(np.array(found.angstrom) - (1.3, 0.4))
        said.append(found.error)
    scatter = np.std(away, axis=0)
    assert (scatter < 2.5 * np.mean(said, axis=0)).all() and (np.mean(said, axis=0) < 3 * scatter).all()


def test_of_a_crystal_the_nearest_cell_is_taken_where_that_is_clear_and_another_named():
    first = seen((36, 36), 1.0, specimen=crystal)
    second = seen((36, 36), 1.0, at=(0.7, -0.5), specimen=crystal)
    found = offset_of(first, second)
    np.testing.assert_allclose(found.angstrom, (0.7, -0.5), atol=0.1)
    assert is_certain(found)
    faint = replace(first, image=0.05 * first.image)  # its noise is as before: less is known
    unclear = offset_of(faint, second)
    assert unclear.lead < CLEAR and unclear.rival is not None
    cells = (np.array(unclear.rival) - (0.7, -0.5)) / (6.0, 7.0)
    np.testing.assert_allclose(cells, np.rint(cells), atol=0.15)


def test_other_specimens_have_nothing_in_common():
    for seed in range(5):
        first = seen((36, 36), 1.0, specimen=disorder(3 + seed), noise=0.1)
        second = seen((36, 36), 1.0, specimen=disorder(30 + seed), noise=0.1, seed=1)
        assert not is_certain(offset_of(first, second))


def test_empty_maps_are_refused():
    first = seen((20, 20), 1.0, specimen=disorder())
    nothing = PhaseMap(np.zeros_like(first.image), first.matrix, first.origin)
    with pytest.raises(InputError, match="no frequency stands out of the noise in both"):
        offset_of(first, nothing)
