"""Imports of ADU: counted on request, else refused with what would be found; dark frames, gain maps, bad pixels."""

from __future__ import annotations

import numpy as np
import pytest

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.dataset import open_dataset

N, GAIN = 32, 200.0
FACTS = {
    "energy_ev": 300e3, "semi_angle_mrad": 8.0, "angular_step_mrad": 0.8, "scan_step_angstrom": 1.5,
    "defocus_angstrom": 100.0, "progress": False,
}  # fmt: skip
HOT, DEAD = (2, 29), (16, 17)


def scan(side=48, separation=10.0, seed=0):
    """Electrons and ADU (side, side, N, N), with a hot and a dead pixel."""
    rng = np.random.default_rng(seed)
    disk = np.hypot(*(np.indices((N, N)) - N // 2)) < 10
    n = rng.poisson(np.where(disk, 0.2, 0.002), (side, side, N, N))
    adu = (
        GAIN * n
        + GAIN / separation * rng.standard_normal(n.shape)
        + 0.1 * GAIN * rng.standard_normal(n.shape) * (np.sqrt(n))
    )
    adu[..., HOT[0], HOT[1]] += 3 * GAIN
    adu[..., DEAD[0], DEAD[1]] = GAIN / separation * rng.standard_normal((side, side))
    return n, adu


@pytest.fixture(scope="module")
def truth():
    return scan()


@pytest.fixture
def path(tmp_path, truth):
    np.save(tmp_path / "scan.npy", truth[1].astype(np.float32))
    return tmp_path / "scan.npy"


def good():
    used = np.ones((N, N), bool)
    used[HOT] = used[DEAD] = False
    return used


def label(made, name):
    return next((value, source) for row, value, source, _ in made.rows() if row == name)


def test_electrons_are_counted_and_bad_pixels_masked(path, tmp_path, truth):
    made = ptychodask.import_data(path, tmp_path / "scan.zarr", count=True, **FACTS)
    data = open_dataset(made)
    np.testing.assert_array_equal(data.mask.values != 0, good())
    true, found = truth[0][..., good()], data.counts.values[..., good()].astype(int)
    rate = abs(found - true).sum() / true.sum()
    said = data.attrs["counting"]
    assert rate < 0.002 and abs(found.sum() / true.sum() - 1) < 0.002
    assert rate == pytest.approx(said["miscounted"], abs=5e-4)
    assert said["gain_adu"] == pytest.approx(GAIN, rel=0.01)
    assert (data.counts.values[..., HOT[0], HOT[1]] == 0).all()
    assert data.attrs["electrons_per_pattern"] == pytest.approx(true.sum() / 48**2, rel=0.005)
    assert label(made, "bad pixels")[0] == "1 hot, 1 dead"
    assert label(made, "mis-counted")[0].endswith("%") and "found: 9.9" in label(made, "gain")[1]
    assert ptychodask.info(made).facts


def test_bad_pixels_can_be_kept_and_be_looked_for_alone(path, tmp_path, truth):
    kept = ptychodask.import_data(path, tmp_path / "kept.zarr", count=True, mask_bad=False, **FACTS)
    assert open_dataset(kept).mask.values.all()
    np.save(tmp_path / "counts.npy", truth[0].astype(np.uint8))
    masked = ptychodask.import_data(tmp_path / "counts.npy", tmp_path / "masked.zarr", mask_bad=True, **FACTS)
    assert open_dataset(masked).mask.values.all() and label(masked, "bad pixels")[0] == "0 hot, 0 dead"


@pytest.mark.distributed
def test_any_workers_make_the_same_dataset(path, tmp_path):
    one, two = (
        open_dataset(
            ptychodask.import_data(path, tmp_path / f"{w}.zarr", count=True, workers=w, chunks=(12, 16), **FACTS)
        )
        for w in (None, 2)
    )
    assert one.attrs["fingerprint"] == two.attrs["fingerprint"]
    np.testing.assert_array_equal(one.mask, two.mask)


def test_a_dark_frame_and_a_gain_map_are_undone(tmp_path, truth):
    rng = np.random.default_rng(3)
    dark, flat = rng.normal(300, 60, (N, N)), rng.uniform(0.7, 1.3, (N, N))
    flat[5, 6] = 0
    np.save(tmp_path / "scan.npy", (truth[1] * flat + dark).astype(np.float32))
    np.save(tmp_path / "dark.npy", dark + rng.normal(0, 20, (2, 200, N, N)))
    given = {"dark": tmp_path / "dark.npy", "gain_map": flat}
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", count=True, **given, **FACTS)
    data = open_dataset(made)
    used = data.mask.values != 0
    assert not used[5, 6] and used.sum() == N * N - 3
    found, true = data.counts.values[..., used].astype(int), truth[0][..., used]
    assert abs(found - true).sum() / true.sum() < 0.01
    turned = ptychodask.import_data(
        tmp_path / "scan.npy", tmp_path / "turned.zarr", gain_adu=GAIN, flip=True, transpose=True, **given, **FACTS
    )
    other = open_dataset(turned).counts.values
    back = np.roll(np.flip(other.swapaxes(-2, -1), -2), 1, -2)[..., used]
    assert abs(back.astype(int) - true).sum() / true.sum() < 0.02


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("floats", r"no whole numbers.*--count, which finds (199|200|201)[.\d]* ADU per electron"),
        ("integers", r"as low as.*--count, which finds"),
        ("pedestal", r"no counts, no pixel is empty.*electrons on a pedestal.*or --count, which finds"),
        ("multiples", r"all values are multiples of 200: give --gain 200.*--gain 1 takes them"),
    ],
)
def test_what_is_no_counts_is_refused_with_what_would_be_found(tmp_path, truth, kind, told):
    n, adu = truth
    adu = np.delete(adu, HOT[0], axis=2)[:12, :12, : N - 2, : N - 2]
    values = {
        "floats": adu.astype(np.float32),
        "integers": np.rint(adu).astype(np.int32),
        "pedestal": np.rint(adu + 500).clip(0).astype(np.uint16),
        "multiples": (200 * n[:12, :12]).astype(np.uint16),
    }[kind]
    np.save(tmp_path / "scan.npy", values)
    with pytest.raises(InputError, match=told) as error:
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS)
    assert "\n" not in str(error.value) and not (tmp_path / "scan.zarr").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"count": True, "gain_adu": 200}, "give one of them"),
        ({"count": "yes"}, "count = 'yes'"),
        ({"dark": np.zeros((N, N))}, "give --gain .* or --count"),
        ({"count": True, "dark": np.zeros((N, N - 1))}, r"shape \(32, 31\).*\(\.\.\., 32, 32\)"),
        ({"count": True, "gain_map": "absent.npy"}, "gain_map = 'absent.npy' cannot be read"),
        ({"mask_bad": 3}, "mask_bad = 3"),
    ],
)
def test_bad_input_is_one_line(path, tmp_path, options, told):
    with pytest.raises(InputError, match=told) as error:
        ptychodask.import_data(path, tmp_path / "scan.zarr", **options, **FACTS)
    assert "\n" not in str(error.value) and not (tmp_path / "scan.zarr").exists()


@pytest.mark.parametrize("dose", [30.0, 800.0])
def test_bright_counts_are_counts(tmp_path, dose):
    """No pixel is empty, and disk and dark field are two peaks: of a picture, not of electrons that come and go."""
    disk = np.hypot(*(np.indices((N, N)) - N // 2)) < 10
    counts = np.random.default_rng(0).poisson(np.where(disk, dose, 9.0), (8, 8, N, N)).astype(np.uint16) + np.uint16(1)
    np.save(tmp_path / "scan.npy", counts)
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS)
    np.testing.assert_array_equal(open_dataset(made).counts, counts)
    with pytest.raises(InputError, match=r"change from frame to frame by|no peak of single"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "again.zarr", count=True, **FACTS)


def test_counts_are_not_counted_again(tmp_path, truth):
    np.save(tmp_path / "scan.npy", truth[0][:8, :8].astype(np.uint16))
    with pytest.raises(InputError, match="counts already"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", count=True, **FACTS)


def test_an_overlap_of_the_peaks_is_refused(tmp_path):
    np.save(tmp_path / "scan.npy", scan(8, 2.5)[1].astype(np.float32))
    with pytest.raises(InputError, match=r"no peak of single electrons|stand out of the noise"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", count=True, **FACTS)


def test_nan_is_no_zero_where_electrons_are_counted(tmp_path):
    disk = np.hypot(*np.meshgrid(*2 * [np.arange(32) - 16], indexing="ij")) < 8
    rng = np.random.default_rng(0)
    values = (100 * rng.poisson(0.5 * disk, (8, 8, 32, 32)) + rng.normal(0, 8, (8, 8, 32, 32))).astype("f4")
    values[3, 4, 10:13, 10:13] = np.nan
    np.save(tmp_path / "scan.npy", values)
    known = {"energy_ev": 300e3, "semi_angle_mrad": 10.0, "scan_step_angstrom": 1.0, "angular_step_mrad": 1.2}
    with pytest.raises(InputError, match="9 values in 1 of the 64 frames looked at are NaN or infinite"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", count=True, progress=False, **known)
    assert not (tmp_path / "scan.zarr").exists()
