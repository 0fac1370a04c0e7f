"""Simulated datasets: the same counts whatever the chunks or workers, Poisson statistics, errors and truth."""

from __future__ import annotations

import errno
import json

import numpy as np
import pytest

pytest.importorskip("abtem")
ase = pytest.importorskip("ase")
pytest.importorskip("ase.io")

from ptychodask._errors import InputError  # noqa: E402
from ptychodask.distributed.cluster import connect  # noqa: E402
from ptychodask.io.dataset import dataset_info, open_dataset, read_truth  # noqa: E402
from ptychodask.io.kinds import DATASET  # noqa: E402
from ptychodask.simulation.run import simulate  # noqa: E402

STEP = 2.0
TINY = dict(
    thickness_angstrom=12.0, scan_shape=(4, 5), scan_step_angstrom=STEP, detector_pixels=32, angular_step_mrad=1.0,
    defocus_angstrom=100.0, slice_thickness_angstrom=3.0, dose_per_square_angstrom=1000.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def client():
    with connect() as started:
        yield started


@pytest.fixture(scope="module")
def crystal(tmp_path_factory) -> str:
    """A light crystal in a structure file."""
    atoms = ase.Atoms("AuCuO", [[2, 3, 1.5], [7.5, 4.2, 4], [8, 10, 0.5]], cell=[11, 13, 6], pbc=True)
    path = tmp_path_factory.mktemp("structure") / "crystal.cif"
    ase.io.write(path, atoms)
    return str(path)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, client, crystal):
    """Counts of the tiny scan with all defaults."""
    return simulate(tmp_path_factory.mktemp("data") / "scan.zarr", crystal, client=client, **TINY)


def counts_of(path) -> np.ndarray:
    return open_dataset(path).counts.values


def test_a_dataset_with_its_description(reference, crystal):
    data, truth = open_dataset(reference), read_truth(reference)
    assert data.counts.shape == (4, 5, 32, 32)
    assert data.counts.dtype == np.uint8
    assert data.attrs["specimen"] == crystal
    assert data.attrs["specimen_status"] == "file"
    assert data.attrs["thickness_angstrom"] == pytest.approx(12.0)
    assert data.attrs["aberrations"]["C10"] == -100.0
    assert set(truth.data_vars) == {"phase", "probe", "positions"}
    np.testing.assert_array_equal(truth.positions.values, data.positions.values.reshape(-1, 2))
    assert (np.abs(truth.probe.values) ** 2).sum() == pytest.approx(1000 * STEP**2, rel=1e-4)
    assert [p.name for p in reference.parent.iterdir()] == ["scan.zarr"]


def test_counts_do_not_depend_on_the_chunks(tmp_path, client, crystal, reference):
    path = simulate(tmp_path / "scan.zarr", crystal, chunks=(2, 3), client=client, **TINY)
    assert dataset_info(path).shard == (2, 3)
    np.testing.assert_array_equal(counts_of(path), counts_of(reference))


@pytest.mark.distributed
@pytest.mark.slow
def test_counts_do_not_depend_on_the_processes(tmp_path, client, crystal, reference):
    one = simulate(tmp_path / "one.zarr", crystal, chunks=(2, 3), client=client, **TINY)  # threads of this process
    two = simulate(tmp_path / "two.zarr", crystal, chunks=(2, 3), workers=2, **TINY)
    assert dataset_info(one).fingerprint == dataset_info(two).fingerprint
    np.testing.assert_array_equal(counts_of(two), counts_of(one))
    np.testing.assert_array_equal(counts_of(two), counts_of(reference))


def test_noise_is_poisson_and_keyed_by_the_seed(tmp_path, client, crystal, reference):
    exact = simulate(
        tmp_path / "exact.zarr", crystal, client=client, **{**TINY, "dose_per_square_angstrom": float("inf")}
    )
    assert open_dataset(exact).counts.dtype == np.float32
    means = counts_of(exact).astype(np.float64)
    # band-limited transmissions ring a little, so a pattern may gain as well as lose
    assert means.sum(axis=(2, 3)).max() < 1.001 * 1e4
    assert means.sum(axis=(2, 3)).min() > 0.9 * 1e4
    means *= 1000 * STEP**2 / 1e4
    counts = counts_of(reference).astype(np.float64)
    assert abs(counts.sum() - means.sum()) < 5 * np.sqrt(means.sum())
    dose = dataset_info(reference).attributes["dose_per_square_angstrom"]
    assert dose == pytest.approx(1000, abs=50 + 5 * np.sqrt(1000 / (20 * STEP**2)))
    # pixel by pixel: squared deviations over the mean are 1 on average, with variance 2 + 1/mean
    bright = means > 0.5
    chi2 = (counts - means)[bright] ** 2 / means[bright]
    assert abs(chi2.mean() - 1) < 5 * np.sqrt((2 + 1 / means[bright]).mean() / bright.sum())
    # and positions are not copies of each other's noise
    excess = ((counts - means) / np.sqrt(means + 1e-9) * bright).reshape(20, -1)
    assert np.abs(np.corrcoef(excess)[np.triu_indices(20, 1)]).max() < 0.3
    other = counts_of(simulate(tmp_path / "seed.zarr", crystal, seed=1, client=client, **TINY))
    assert (other != counts_of(reference)).mean() > 0.2


def test_bright_patterns_fit_their_type(tmp_path, client, crystal):
    """20000 electrons in a disk of 50 pixels exceed uint8."""
    small = {"semi_angle_mrad": 4.0, "dose_per_square_angstrom": 5000.0, "scan_shape": (2, 2)}
    path = simulate(tmp_path / "scan.zarr", crystal, client=client, **{**TINY, **small})
    assert counts_of(path).dtype == np.uint16
    assert counts_of(path).max() > 255


def test_phonons_change_the_patterns_and_are_reproducible(tmp_path, client, crystal):
    options = {**TINY, "scan_shape": (2, 2), "dose_per_square_angstrom": float("inf"), "client": client}

    def patterns(name, **more):
        return counts_of(simulate(tmp_path / f"{name}.zarr", crystal, **{**options, **more}))

    still = patterns("still")
    first = patterns("first", phonons=2)
    np.testing.assert_array_equal(patterns("again", phonons=2), first)
    assert np.abs(first - still).sum() > 1e-3 * still.sum()
    one = patterns("one", phonons=1)
    assert np.abs(one - first).sum() > 1e-4 * still.sum()  # an average over two is not the first alone
    assert np.abs(patterns("seed", phonons=2, seed=1) - first).sum() > 1e-4 * still.sum()
    small = patterns("small", phonons=2, phonon_sigma_angstrom=1e-4)
    assert np.abs(small - still).sum() < 1e-3 * still.sum()
    # the truth is the crystal at rest
    np.testing.assert_array_equal(
        read_truth(tmp_path / "first.zarr").phase.values, read_truth(tmp_path / "still.zarr").phase.values
    )


def test_recorded_positions_and_true_ones(tmp_path, client, crystal, reference):
    options = {**TINY, "scan_shape": (8, 8), "dose_per_square_angstrom": float("inf"), "client": client}
    path = simulate(tmp_path / "scan.zarr", crystal, position_error_angstrom=0.3, seed=2, **options)
    recorded = open_dataset(path).positions.values
    np.testing.assert_allclose(recorded[..., 0], np.broadcast_to(STEP * np.arange(8)[:, None], (8, 8)))
    errors = read_truth(path).positions.values.reshape(8, 8, 2) - recorded
    assert errors.std() == pytest.approx(0.3, abs=5 * 0.3 / np.sqrt(2 * 128))
    assert abs(errors.mean()) < 5 * 0.3 / np.sqrt(128)
    # it is the true ones that the beam visited
    exact = simulate(tmp_path / "exact.zarr", crystal, seed=2, **options)
    assert np.abs(counts_of(path) - counts_of(exact)).sum() > 0.01 * counts_of(exact).sum()


def test_tilt_changes_the_patterns_and_is_recorded(tmp_path, client, crystal):
    options = {**TINY, "dose_per_square_angstrom": float("inf"), "scan_shape": (2, 2), "client": client}
    upright = counts_of(simulate(tmp_path / "upright.zarr", crystal, **options))
    path = simulate(tmp_path / "tilted.zarr", crystal, tilt_mrad=(0, 20), **options)
    assert np.abs(counts_of(path) - upright).sum() > 1e-3 * upright.sum()
    assert open_dataset(path).attrs["tilt_mrad"] == [0.0, 20.0]


def test_progress_ends_with_everything_done(tmp_path, client, crystal):
    seen = []
    simulate(
        tmp_path / "scan.zarr", crystal, chunks=(2, 2), client=client,
        progress=lambda *event: seen.append(event), **{**TINY, "scan_shape": (4, 4)},
    )  # fmt: skip
    assert seen[0][0] == "potential"
    assert ("potential", 1, 1) in seen
    assert seen[-1] == ("patterns", 4, 4)


BAD = {
    "material": ({"material": "nu1000"}, "did you mean 'nu-1000'"),
    "file": ({"material": "absent.cif"}, "does not exist"),
    "thickness": ({"thickness_angstrom": 0.0}, "thickness_angstrom"),
    "scan": ({"scan_shape": (0, 4)}, "scan_shape"),
    "step": ({"scan_step_angstrom": float("nan")}, "step"),
    "dose": ({"dose_per_square_angstrom": -1.0}, "dose_per_square_angstrom"),
    "slices": ({"slice_thickness_angstrom": 0.0}, "slice_thickness_angstrom"),
    "odd detector": ({"detector_pixels": 33}, "even"),
    "disk": ({"semi_angle_mrad": 20.0}, "exceeds the detector's 16 mrad"),
    "box": ({"defocus_angstrom": 5000.0}, "outside 80 %"),
    "aberration": ({"aberrations": {"C3": 1.0}}, "'C3' is not known"),
    "tilt": ({"tilt_mrad": (float("nan"), 0.0)}, "tilt_mrad"),
    "phonons": ({"phonons": -1}, "phonons"),
    "seed": ({"seed": -1}, "seed"),
    "position error": ({"position_error_angstrom": float("inf")}, "position_error_angstrom"),
    "workers": ({"workers": 0}, "workers"),
    "chunks": ({"chunks": (0, 2)}, "chunks"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_runs(tmp_path, crystal, name, monkeypatch):
    options, message = BAD[name]
    monkeypatch.setattr("ptychodask.simulation.run.connect", lambda **kwargs: pytest.fail("a cluster was started"))
    with pytest.raises(InputError, match=message) as caught:
        simulate(tmp_path / "scan.zarr", **{"material": crystal, **TINY, **options})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("disk"), "disk"),
        (OSError(errno.ENOSPC, "No space left on device"), r"scan\.zarr cannot be written \(No space left on device\)"),
    ],
)
@pytest.mark.parametrize(
    "stage",
    [
        *("io.writer.create_skeleton", "simulation.run._store_transmission", "simulation.run.write_shard"),
        *("io.writer.seal", "io.writer.write_truth"),
    ],
)
def test_a_failure_leaves_nothing_but_what_was_there(tmp_path, client, crystal, monkeypatch, stage, error, line):
    def fail(*arguments):
        raise error

    path = tmp_path / "scan.zarr"
    describe(path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    monkeypatch.setattr(f"ptychodask.{stage}", fail)
    with pytest.raises(type(error), match=line) as caught:
        simulate(path, crystal, chunks=(2, 3), client=client, overwrite=True, **TINY)
    assert "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["scan.zarr"]


def describe(path):
    """As little of a dataset as is taken for one."""
    path.mkdir()
    described = {"zarr_format": 3, "node_type": "group", "attributes": {"schema": "ptychodask-dataset/1"}}
    (path / "zarr.json").write_text(json.dumps(described))


def test_a_link_to_scratch_stays_a_link(tmp_path, client, crystal):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scan.zarr").symlink_to("scratch/data")
    path = simulate(tmp_path / "scan.zarr", crystal, client=client, **{**TINY, "scan_shape": (2, 2)})
    assert path == tmp_path / "scratch" / "data" and (tmp_path / "scan.zarr").is_symlink()
    assert dataset_info(tmp_path / "scan.zarr").scan_shape == (2, 2)
    assert DATASET.other(path) is None  # with its truth it would make room for another
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.zarr", "scratch"]
