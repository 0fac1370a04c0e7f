"""Patterns against abTEM's own wave functions: signs, angles, axes, and the truth that belongs to them.

The specimen is a cluster alone in the probe's window, so that this package's window, cut out of a larger canvas, and
abTEM's periodic cell of the window's size hold the same potential. abTEM's arrays are [x, y].
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

ase = pytest.importorskip("ase")
pytest.importorskip("ase.io")
abtem = pytest.importorskip("abtem")

from ptychodask.model.optics import Microscope, interaction_constant  # noqa: E402
from ptychodask.model.scan import Detector  # noqa: E402
from ptychodask.physics.views import split_positions  # noqa: E402
from ptychodask.simulation.run import simulate  # noqa: E402
from ptychodask.simulation.scattering import (  # noqa: E402
    Experiment,
    diffraction_patterns,
    potential_slices,
    projected_phase,
    transmission,
)
from ptychodask.simulation.specimen import Specimen, fill_box  # noqa: E402

OPTICS = {"C10": -150.0, "C12": 60.0, "phi12": 0.6, "C21": 2e4, "phi21": -1.0}
TILT = (8e-3, -5e-3)
POSITIONS = np.array([[0.0, 0.0], [3.3, 5.21]])  # the second lies off the grid along both axes
J = 1
SLICE = 3.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> str:
    """Heavy columns without any symmetry about the probe at (y, x) = (3.3, 5.2)."""
    places = [[4.0, 1.9, 1.5], [7.1, 4.0, 4.0], [3.4, 5.5, 2.0], [8.3, 5.1, 0.5]]
    atoms = ase.Atoms("AuCuMoO", places, cell=[80.0, 80.0, 6.0], pbc=True)
    path = tmp_path_factory.mktemp("structure") / "cluster.xyz"
    ase.io.write(path, atoms, format="extxyz")
    return str(path)


def experiment(cluster: str, aberrations=None, tilt=(0.0, 0.0)) -> Experiment:
    optics = Microscope(300e3, 10.0, OPTICS if aberrations is None else aberrations)
    return Experiment(Specimen(cluster, 48.0), optics, Detector(48, 0.8), POSITIONS, 1.0, SLICE, tilt)


def ours(case: Experiment) -> np.ndarray:
    slices = list(potential_slices(case))
    waves = np.stack([transmission(case, potential) for _, potential in slices])
    return diffraction_patterns(case, np.array([J]), waves, np.array([dz for dz, _ in slices]))[0]


def theirs(
    case: Experiment, *, aberrations=None, tilt_mrad=(0.0, 0.0), lean=(0.0, 0.0), transposed=False
) -> np.ndarray:
    """abTEM's pattern of position J as [ky, kx]; ``tilt_mrad`` is abTEM's (x, y), ``lean`` (y, x) moves the atoms."""
    canvas, centres = case.canvas()
    corner = split_positions(centres, case.pixels)[0][J]
    origin = np.array(canvas.origin) + corner * case.pixel
    width = case.pixels * case.pixel
    atoms = fill_box(case.specimen, tuple(origin), (width, width))
    atoms.positions[:, :2] += atoms.positions[:, 2:] * np.array(lean[::-1])
    grid = dict(gpts=(case.pixels, case.pixels))
    # abTEM's anti-aliasing aperture without its taper is the disk that this package uses
    with abtem.config.set({"antialias.taper": 0.0, "precision": "float64"}):
        potential = abtem.Potential(
            atoms, slice_thickness=SLICE, parametrization="lobato", projection="infinite", device="cpu", **grid
        )
        probe = abtem.Probe(
            energy=case.microscope.energy_ev,
            semiangle_cutoff=case.microscope.semi_angle_mrad,
            extent=(width, width),
            aberrations=dict(case.microscope.aberrations if aberrations is None else aberrations),
            tilt=tuple(tilt_mrad),
            device="cpu",
            **grid,
        )
        place = (POSITIONS[J] - origin)[::-1]
        waves = probe.multislice(potential, scan=abtem.CustomScan([place]), lazy=False)
        exit_wave = np.asarray(waves.array).reshape(case.pixels, case.pixels)
    exit_wave = exit_wave if transposed else exit_wave.T
    pattern = np.fft.fftshift(np.abs(np.fft.fft2(exit_wave)) ** 2)
    low, n = (case.pixels - case.detector.pixels) // 2, case.detector.pixels
    # one electron entered: abTEM's probe has unit power in its own transform
    power = np.abs(np.fft.fft2(np.asarray(probe.build(lazy=False).array).reshape(exit_wave.shape))) ** 2
    return pattern[low : low + n, low : low + n] / power.sum()


def differences(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Of two patterns, relative L1 over all pixels and over the dark field beyond the soft edge of the disk."""
    n = len(a)
    angle = 0.8 * np.hypot(*np.meshgrid(np.arange(n) - n // 2, np.arange(n) - n // 2))
    dark = angle > 11.0
    return abs(a - b).sum() / b.sum(), abs(a - b)[dark].sum() / b[dark].sum()


# what is left between the two are the tails of the potential that abTEM's cell wraps around: 1e-3 of the electrons and
# 2e-2 of those in the dark field (2e-5 with one and the same potential); a flipped sign changes 0.08 to 0.4 of them
SAME = (2e-3, 4e-2)


def agree(a: np.ndarray, b: np.ndarray) -> bool:
    return all(found < limit for found, limit in zip(differences(a, b), SAME, strict=True))


def clearly_differ(a: np.ndarray, b: np.ndarray) -> bool:
    return differences(a, b)[0] > 10 * SAME[0]


def test_the_specimen_scatters(cluster):
    """Otherwise the comparisons below would compare empty apertures."""
    case = experiment(cluster)
    pattern = ours(case)
    angle = 0.8 * np.hypot(*np.meshgrid(np.arange(48) - 24, np.arange(48) - 24))
    assert pattern[angle > 11].sum() > 5e-3
    assert 0.9 < pattern.sum() <= 1.0  # the rest is beyond the band limit


def test_patterns_are_those_of_abtem(cluster):
    case = experiment(cluster)
    assert agree(ours(case), theirs(case)), differences(ours(case), theirs(case))


@pytest.mark.parametrize(
    "flipped", [{"C10": 150.0}, {"phi12": -0.6}, {"phi12": 0.6 + np.pi / 2}, {"phi21": 1.0}], ids=str
)
def test_a_wrong_aberration_would_be_seen(cluster, flipped):
    case = experiment(cluster)
    assert clearly_differ(ours(case), theirs(case, aberrations={**OPTICS, **flipped}))


def test_positive_defocus_is_underfocus(cluster):
    """Propagation by d focuses a probe of defocus +d: abTEM's ``defocus=`` says the same as ours."""
    case = experiment(cluster, {"C10": -150.0})
    named = theirs(case, aberrations={"defocus": 150.0})
    assert agree(ours(case), named)
    assert clearly_differ(ours(experiment(cluster, {"C10": 150.0})), named)


def test_axes_are_y_x_where_abtem_has_x_y(cluster):
    case = experiment(cluster)
    assert clearly_differ(ours(case), theirs(case, transposed=True))


def test_abtems_beam_tilt_is_minus_our_lean_in_the_other_order(cluster):
    """abTEM multiplies its propagator by exp(-2 pi i dz k tan(tilt)), so with a positive tilt the wave moves to +r over
    upright columns. Our lean t is exp(+2 pi i dz k t): columns move to +r under the wave. Hence tilt = (-t_x, -t_y)."""
    case = experiment(cluster, tilt=TILT)
    pattern = ours(case)
    t_y, t_x = (1e3 * np.arctan(t) for t in TILT)
    same = theirs(case, tilt_mrad=(-t_x, -t_y))
    assert agree(pattern, same), differences(pattern, same)
    assert clearly_differ(pattern, theirs(case, tilt_mrad=(t_x, t_y)))
    assert clearly_differ(pattern, theirs(case, tilt_mrad=(-t_y, -t_x)))
    assert clearly_differ(pattern, theirs(case))


def test_the_lean_is_that_of_the_atoms(cluster):
    """The definition itself: atoms displaced by t z under a straight beam, with no word of abTEM's about tilts.

    Here atoms lean inside the slices too (by 0.03 A), so the agreement is not that of rounding.
    """
    case = experiment(cluster, tilt=TILT)
    pattern = ours(case)
    right, wrong = (differences(pattern, theirs(case, lean=(s * TILT[0], s * TILT[1])))[0] for s in (1, -1))
    none = differences(pattern, theirs(case))[0]
    assert right < 0.25 * none < 0.25 * wrong


def test_band_limit_keeps_the_corners_dark(cluster):
    pattern = ours(experiment(cluster))
    radius = np.hypot(*np.meshgrid(np.arange(48) - 24, np.arange(48) - 24))
    # not exactly 0: the last slice's product with the wave is not limited again
    assert pattern[radius > 24.01].mean() < 0.02 * pattern[(radius > 23) & (radius < 24)].mean()


def test_electrons_scale_the_patterns(cluster):
    case = experiment(cluster)
    np.testing.assert_allclose(ours(replace(case, electrons=250.0)), 250 * ours(case), rtol=1e-4, atol=1e-7)


def test_truth_is_the_projected_lobato_potential(tmp_path):
    """Against the direct sum over atoms of Lobato's scattering factors, sigma sum f(k) exp(-2 pi i k r)."""
    from ptychodask.io.dataset import open_dataset, read_truth

    path = simulate(
        tmp_path / "scan.zarr", "zif-8", thickness_angstrom=34, scan_shape=(4, 4), scan_step_angstrom=3.0,
        detector_pixels=48, angular_step_mrad=0.8, defocus_angstrom=150.0,
    )  # fmt: skip
    truth = read_truth(path)
    phase = truth["phase"]
    assert phase.attrs["units"] == "rad"
    pixel = float(phase.y[1] - phase.y[0])
    assert pixel == pytest.approx(Detector(48, 0.8).pixel_angstrom(Microscope(300e3, 10).wavelength))
    origin = np.array([float(phase.y[0]), float(phase.x[0])])
    extent = np.array(phase.shape) * pixel
    assert open_dataset(path).attrs["thickness_angstrom"] == pytest.approx(33.982)
    atoms = fill_box(Specimen("zif-8", 34), tuple(origin), tuple(extent))
    k = [np.fft.fftfreq(n, pixel) for n in phase.shape]
    k2 = k[0][:, None] ** 2 + k[1][None, :] ** 2
    spectrum = np.zeros(phase.shape, complex)
    lobato = abtem.parametrizations.LobatoParametrization()
    for symbol in set(atoms.symbols):
        places = atoms.positions[atoms.symbols == symbol]
        rows = np.exp(-2j * np.pi * np.outer(k[0], places[:, 1]))
        columns = np.exp(-2j * np.pi * np.outer(places[:, 0], k[1]))
        spectrum += lobato.projected_scattering_factor(symbol)(k2) * (rows @ columns)
    expected = interaction_constant(300e3) * np.fft.ifft2(spectrum).real / pixel**2
    inner = (slice(12, -12), slice(12, -12))  # away from the edges, where the content is not periodic
    zinc = np.unravel_index(np.argmax(expected[inner]), expected[inner].shape)
    assert expected[inner][zinc] > 0.5
    # abTEM spreads an atom between grid points over four pixels, which costs sharp columns up to 15 %
    assert phase.values[inner][zinc] == pytest.approx(expected[inner][zinc], rel=0.05)
    gap = phase.values[inner] - expected[inner]
    assert np.abs(gap).max() < 0.15 * expected.max()
    assert np.sqrt((gap**2).mean()) < 0.03 * expected.max()
    assert phase.values[inner].mean() == pytest.approx(expected[inner].mean(), rel=2e-3)
    # the brightest pixel is a zinc column of the crystal, in the frame of the scan positions
    places = atoms.positions[atoms.symbols == "Zn"][:, 1::-1] + origin
    brightest = np.array([float(phase.y[inner[0]][zinc[0]]), float(phase.x[inner[1]][zinc[1]])])
    assert np.abs(places - brightest).max(axis=1).min() <= pixel / 2 + 1e-6


def test_truth_sums_the_slices(cluster):
    case = experiment(cluster)
    total = sum(potential for _, potential in potential_slices(case))
    canvas, phase = projected_phase(case, total)
    assert canvas.pixel == pytest.approx(1.5 * case.pixel)
    assert phase.mean() == pytest.approx(interaction_constant(300e3) * total.mean(), rel=1e-5)
    thickness = sum(dz for dz, _ in potential_slices(case))
    assert thickness == pytest.approx(48.0)
