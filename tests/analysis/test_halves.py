"""What two halves agree on: known noise, vacuum, planted peaks, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ptychodask._errors import InputError
from ptychodask.analysis.halves import agreement, agreement_of, chance_level, told

DX, N = 0.35, 144


def _on(values: np.ndarray) -> xr.DataArray:
    axes = {a: np.arange(n) * DX for a, n in zip(("y", "x"), values.shape, strict=True)}
    return xr.DataArray(values, axes, ("y", "x"))


def _q() -> np.ndarray:
    k = np.fft.fftfreq(N, DX)
    return np.hypot(k[:, None], k[None, :])


def _filtered(values: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return np.fft.ifft2(np.fft.fft2(values) * gain).real


def _halves(seed: int, signal: np.ndarray, noise: float = 1.0) -> tuple[xr.DataArray, xr.DataArray]:
    first, second = np.random.default_rng(seed).normal(scale=noise, size=(2, N, N))
    return _on(signal + first), _on(signal + second)


def _cosine(qy: float, qx: float) -> np.ndarray:
    at = np.arange(N) * DX
    return np.cos(2 * np.pi * (qy * at[:, None] + qx * at[None, :]))


def test_of_known_noise_it_is_what_the_formulas_say() -> None:
    """Signal and noise of equal power in a half: 1/2 between halves, 2/3 for all electrons, 0.816 with the truth."""
    signal = np.random.default_rng(9).normal(size=(N, N))
    first, second = _halves(1, signal)
    found = agreement(first, second)
    wide = found.pixels.values > 200
    assert found.frc.values[wide].mean() == pytest.approx(0.5, abs=0.02)
    assert found.frc_full.values[wide].mean() == pytest.approx(2 / 3, abs=0.02)
    both = (first.values + second.values) / 2
    real = np.corrcoef(both.ravel(), signal.ravel())[0, 1]
    assert found.truth.values[wide].mean() == pytest.approx(real, abs=0.02)
    assert float(found.resolution_angstrom) == pytest.approx(2 * DX, rel=0.05)  # to the last ring


def test_the_limit_is_where_the_signal_ends() -> None:
    signal = _filtered(np.random.default_rng(2).normal(scale=1.2, size=(N, N)), (_q() < 0.7).astype(float))
    found = agreement(*_halves(3, signal))
    assert 1 / float(found.resolution_angstrom) == pytest.approx(0.7, abs=0.05)
    # a filter that both halves have changes nothing
    smooth = np.exp(-((_q() / 0.5) ** 2))
    filtered = [_on(_filtered(half.values, smooth)) for half in _halves(3, signal)]
    assert float(agreement(*filtered).resolution_angstrom) == pytest.approx(float(found.resolution_angstrom), rel=0.05)


def test_noise_alone_has_no_limit_and_no_peaks() -> None:
    """Also where a filter lets the nodes of a lattice through, as that of a crystal does."""
    nodes = np.full((N, N), 0.2)
    nodes[::6, ::6] = 1.0
    limits, peaks = 0, 0
    for seed in range(12):
        for gain in (np.ones((N, N)), nodes):
            found = agreement(*(_on(_filtered(half.values, gain)) for half in _halves(seed, np.zeros((N, N)))))
            limits += bool(np.isfinite(found.resolution_angstrom))
            peaks += found.sizes["peak"]
    assert limits <= 1 and peaks <= 1


def test_what_vacuum_has_too_is_not_claimed() -> None:
    """An edge of light, say, that is in every image."""
    common = _filtered(np.random.default_rng(4).normal(scale=1.5, size=(N, N)), (_q() < 0.4).astype(float))
    halves, vacuum = _halves(5, common), _halves(6, common)
    assert 1 / float(agreement(*halves).resolution_angstrom) == pytest.approx(0.4, abs=0.07)
    found = agreement(*halves, vacuum)
    low = (found.frequency > 0.05) & (found.frequency < 0.35)
    assert (found.threshold.values[low] > 0.5).all()
    assert not np.isfinite(agreement(*_halves(5, 0.3 * common), vacuum).resolution_angstrom)
    assert "vacuum" in told(found)[-1]


def test_one_planted_peak_is_found_where_it_is() -> None:
    found = agreement(*_halves(7, 0.2 * _cosine(0.31, 0.42)))
    assert found.sizes["peak"] == 1
    assert abs(float(found.peak_y[0])) == pytest.approx(0.31, abs=0.01)
    assert abs(float(found.peak_x[0])) == pytest.approx(0.42, abs=0.01)
    assert float(found.peak_false[0]) < 0.01
    assert float(found.peak_angstrom) == pytest.approx(1 / np.hypot(0.31, 0.42), rel=0.02)
    assert not bool(found.peak_on_lattice.any())
    # one alone is no resolution
    assert not np.isfinite(found.resolution_angstrom)
    assert told(found)[1].startswith("1 peak is in both, at 1.9")
    # in one half only it is none
    noise = _halves(7, np.zeros((N, N)))
    assert agreement(noise[0] + 0.2 * _cosine(0.31, 0.42), noise[1]).sizes["peak"] == 0


def test_a_lattice_is_told_and_side_lobes_are_not() -> None:
    nodes = [(h * 0.19, k * 0.17) for h in range(-3, 4) for k in range(4) if (k > 0 or h > 0)]
    signal = sum(0.6 * _cosine(*node) for node in nodes)
    found = agreement(*_halves(8, signal, 0.5))
    assert bool(found.peak_on_lattice.all()) and found.sizes["peak"] == len(nodes)
    assert float(found.peak_angstrom) == pytest.approx(1 / np.hypot(0.57, 0.51), rel=0.02)


def test_the_level_of_chance_is_that_of_noise() -> None:
    """5 % of correlations of so many independent pairs are above it."""
    rng = np.random.default_rng(0)
    for pairs in (8, 60):
        a, b = rng.normal(size=(2, 20_000, pairs))
        seen = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
        assert (seen > chance_level(np.array(pairs))).mean() == pytest.approx(0.05, abs=0.006)


def test_bad_input_is_one_line() -> None:
    first, second = _halves(0, np.zeros((N, N)))
    for images, line in (
        ((first, second.isel(x=slice(8, None))), "same coordinates"),
        ((first, second.assign_coords(x=second.x + 1.0)), "same coordinates"),
        ((first.isel(y=slice(9)), second.isel(y=slice(9))), "at least 16"),
        ((first, second.where(second.x > 1)), "not finite"),
    ):
        with pytest.raises(InputError, match=line):
            agreement(*images)
    with pytest.raises(InputError, match="vacuum's halves"):
        agreement(first, second, tuple(h.assign_coords(y=2 * h.y, x=2 * h.x) for h in (first, second)))
    small = xr.Dataset({"first": first, "second": second}).isel(x=slice(30), y=slice(30))
    with pytest.raises(InputError, match="larger area"):
        agreement_of(small)


def test_nothing_is_claimed_of_nothing() -> None:
    found = agreement(*_halves(11, np.zeros((N, N))))
    assert told(found) == ["the halves agree on nothing: no resolution can be claimed"]
    flat = agreement(_on(np.zeros((N, N))), _on(np.zeros((N, N))))
    assert not np.isfinite(flat.resolution_angstrom) and flat.sizes["peak"] == 0
