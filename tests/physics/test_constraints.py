"""Constraints on the object: the property that defines each one, for real and complex phases."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from ptychodask import InputError, JobConfig
from ptychodask._array import to_host
from ptychodask.physics import constraints as c

S = 3


@pytest.fixture
def phase():
    return np.random.default_rng(2).normal(0.0, 0.5, (S, 21, 34))


@pytest.fixture
def modulus():
    return 1 + 0.2 * np.random.default_rng(3).random((S, 21, 34))


@pytest.fixture(params=["phase", "complex"])
def object_(request, xp, phase, modulus):
    """The same phase without and with a modulus."""
    return xp.asarray(phase if request.param == "phase" else phase - 1j * np.log(modulus))


def parts(array) -> tuple[np.ndarray, np.ndarray]:
    """Phase and modulus."""
    array = to_host(array)
    return array.real, np.exp(-array.imag)


ALL = {
    "bound": c.PhaseBound(0.4),
    "shrinkage": c.Shrinkage(0.1),
    "positive": c.positive_phase,
    "amplitude": lambda o: c.amplitude_bound(o, 1.1),
    "blur": lambda o: c.lateral_blur(o, 1.3),
    "identical": c.identical_slices,
    "coupled": lambda o: c.coupled_slices(o, 0.8),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.complex64, np.complex128])
def test_type_and_shape_are_kept(name, kind, phase, xp):
    given = xp.asarray(phase.astype(kind) if np.dtype(kind).kind == "f" else (phase - 0.1j * phase).astype(kind))
    before = given.copy()
    out = ALL[name](given)
    assert out.dtype == kind
    assert out.shape == given.shape
    np.testing.assert_array_equal(to_host(given), to_host(before))  # nothing is changed in place


@pytest.mark.parametrize("name", ["positive", "blur", "coupled"])
def test_phase_constraints_leave_the_modulus(name, object_):
    np.testing.assert_allclose(parts(ALL[name](object_))[1], parts(object_)[1], rtol=1e-12)


def test_positive_phase(object_, phase):
    found = parts(c.positive_phase(object_))[0]
    np.testing.assert_allclose(found, np.maximum(phase, 0), atol=1e-12)


def test_amplitude_bound(object_, phase):
    found_phase, found = parts(c.amplitude_bound(object_, 1.1))
    before = parts(object_)[1]
    np.testing.assert_allclose(found, np.minimum(before, 1.1), rtol=1e-12)
    np.testing.assert_allclose(found_phase, phase, atol=1e-12)


def test_phases_are_continuous_beyond_pi(xp):
    """As transmissions, 3.0 and 3.3 rad would have their mean at 0.01, and a ramp would be torn where it passes pi."""
    slices = xp.asarray(np.full((2, 4, 4), 3.0) + 0.3 * np.arange(2)[:, None, None] + 0j)
    np.testing.assert_allclose(to_host(c.identical_slices(slices)), 3.15, rtol=1e-12)
    assert to_host(c.coupled_slices(slices, 0.7)).real.min() > 3.0
    ramp = np.linspace(2.0, 9.0, 40)[None, None] + 0.1j + np.zeros((1, 40, 1))
    np.testing.assert_allclose(to_host(c.lateral_blur(xp.asarray(ramp), 1.0))[..., 4:-4], ramp[..., 4:-4], rtol=1e-12)
    np.testing.assert_allclose(to_host(c.amplitude_bound(xp.asarray(ramp), 0.5)).real, ramp.real, rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.4, 0.7, 1.5, 3.0])
def test_blur_is_that_of_scipy(object_, phase, sigma):
    radius = int(np.ceil(4 * sigma))
    assert radius == len(c.gaussian_kernel(sigma)) // 2
    expected = np.stack([gaussian_filter(p, sigma, mode="reflect", radius=radius) for p in phase])
    np.testing.assert_allclose(parts(c.lateral_blur(object_, sigma))[0], expected, atol=1e-12)


def test_blur_wider_than_the_canvas(phase):
    expected = np.stack([gaussian_filter(p, 9.0, mode="reflect", truncate=4) for p in phase])
    np.testing.assert_allclose(c.lateral_blur(phase, 9.0), expected, atol=1e-12)


def test_blur_keeps_the_mean(object_, phase):
    found = parts(c.lateral_blur(object_, 2.0))[0]
    np.testing.assert_allclose(found.mean(axis=(1, 2)), phase.mean(axis=(1, 2)), atol=1e-13)
    assert found.std() < 0.3 * phase.std()


def test_no_blur(object_):
    assert c.lateral_blur(object_, 0.0) is object_


def test_identical_slices_are_the_mean(object_, phase, modulus):
    found_phase, found_modulus = parts(c.identical_slices(object_))
    np.testing.assert_allclose(found_phase, np.broadcast_to(phase.mean(axis=0), phase.shape), atol=1e-12)
    if np.iscomplexobj(to_host(object_)):
        np.testing.assert_allclose(
            found_modulus, np.broadcast_to(np.exp(np.log(modulus).mean(axis=0)), phase.shape), rtol=1e-12
        )


def test_coupled_slices_blur_along_the_beam(object_, phase):
    expected = gaussian_filter1d(phase, 0.75, axis=0, mode="reflect", radius=3)
    found = parts(c.coupled_slices(object_, 0.75))[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.mean(axis=0), phase.mean(axis=0), atol=1e-13)


def test_one_slice_has_nothing_to_couple(object_):
    assert c.identical_slices(object_[:1]).shape == object_[:1].shape
    np.testing.assert_array_equal(to_host(c.coupled_slices(object_[:1], 5.0)), to_host(object_[:1]))
    np.testing.assert_array_equal(to_host(c.identical_slices(object_[:1])), to_host(object_[:1]))


def test_a_bound_holds_and_changes_nothing_else(object_):
    before, after = parts(object_)[0], parts(c.PhaseBound(0.4)(object_))[0]
    np.testing.assert_array_equal(after, np.minimum(before, 0.4))


def test_shrinkage_is_the_least_of_its_penalty(object_):
    """``(x - phase)^2 / 2 + t |x|`` is nowhere smaller."""
    before, after = parts(object_)[0], parts(c.Shrinkage(0.1)(object_))[0]

    def cost(x):
        return (x - before) ** 2 / 2 + 0.1 * np.abs(x)

    for other in (-0.01, 0.01):
        assert (cost(after) <= cost(after + other) + 1e-12).all()


def test_every_kind_of_a_job_is_made():
    job = JobConfig.parse({"object": {"further": [
        {"kind": "phase-bound", "largest_rad": 1.5}, {"kind": "shrinkage", "threshold_rad": 0.01}]}})  # fmt: skip
    assert job.object.regularisation == "blur", "the preset's prior does not go with them"
    assert [c.FURTHER[its.kind](its, 0.5) for its in job.object.further] == [c.PhaseBound(1.5), c.Shrinkage(0.01)]
    assert {its.kind for its in job.object.further} == set(c.FURTHER)
    again = JobConfig.parse(tomllib.loads(job.to_toml()))
    assert again.object.further == job.object.further


@pytest.mark.parametrize(("said", "told"), [
    ({"kind": "median"}, r"object.further.0 = .*'phase-bound', 'shrinkage'"),
    ({"kind": "phase-bound", "largest_rad": 0}, "object.further.0 = 0: input should be greater than 0"),
    ({"kind": "phase-bound", "largest_rad": 1, "sigma": 2}, "object.further.0 has no sigma"),
])  # fmt: skip
def test_a_further_constraint_that_cannot_be_is_one_line(said, told):
    with pytest.raises(InputError, match=told):
        JobConfig.parse({"object": {"further": [said]}})


def test_the_spectral_prior_takes_no_further_ones():
    rules = {"regularisation": "spectral", "further": [{"kind": "shrinkage", "threshold_rad": 0.01}]}
    with pytest.raises(InputError, match=r"leave object\.further unset"):
        JobConfig.parse({"object": rules})
