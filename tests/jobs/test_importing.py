"""Files become datasets: the same counts, every piece read once, in bounded memory, with what is known of them."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.dataset import dataset_info, open_dataset
from ptychodask.jobs.importing import prepare, run
from ptychodask.jobs.importing.look import Looked
from ptychodask.readers import registry
from ptychodask.readers.counted import Orientation
from ptychodask.readers.frames import Frames
from ptychodask.readers.reader import About, Sliced
from ptychodask.readers.registry import Format

RNG = np.random.default_rng(11)

N = 16
COUNTS = np.random.default_rng(0).poisson(0.4, (20, 18, N, N)).astype(np.uint16)
FACTS = {
    "energy_ev": 300e3, "semi_angle_mrad": 8.0, "defocus_angstrom": 150.0, "angular_step_mrad": 1.6,
    "scan_step_angstrom": (1.5, 1.25),
}  # fmt: skip


@pytest.fixture
def npy(tmp_path) -> Path:
    np.save(tmp_path / "scan.npy", COUNTS)
    return tmp_path / "scan.npy"


def label(made, name: str) -> tuple[str, str]:
    return next((value, source) for row, value, source, _ in made.rows() if row == name)


def test_counts_and_what_is_known(tmp_path):
    np.savez(tmp_path / "scan.npz", counts=COUNTS, energy_ev=200e3, scan_step_angstrom=(1.5, 1.25))
    given = {name: FACTS[name] for name in ("semi_angle_mrad", "angular_step_mrad")}
    steps = []
    made = ptychodask.import_data(tmp_path / "scan.npz", tmp_path / "scan.zarr", **given,
                                  progress=lambda *step: steps.append(step))  # fmt: skip
    data, info = open_dataset(made), dataset_info(made.path)
    np.testing.assert_array_equal(data.counts.values, COUNTS)
    assert (info.microscope.energy_ev, info.scan_step) == (200e3, (1.5, 1.25))
    assert data.attrs["source"] == "scan.npz (NumPy archive)"
    assert label(made, "energy") == ("200 keV", "the file") and label(made, "semi-angle") == ("8 mrad", "given")
    assert "missing" in label(made, "defocus")[1] and "--defocus" in str(made)
    assert steps[0][:2] == ("shards", 0) and steps[-1][1] == steps[-1][2] == 4


def test_every_frame_is_read_once_by_the_workers(npy, tmp_path, monkeypatch):
    read = Counter()
    original = Frames._records

    def records(self, content, number):
        read["frames"] += number
        return original(self, content, number)

    monkeypatch.setattr(Frames, "_records", records)
    ptychodask.import_data(npy, tmp_path / "scan.zarr", **FACTS)
    assert read["frames"] == 20 * 18 + 16  # and those that were looked at


@pytest.mark.parametrize("chunk", [(1, 1), (1, 18), (3, 18), (7, 5), (20, 18)])
def test_chunks_of_any_shape_are_read_once(tmp_path, monkeypatch, chunk):
    pieces = Counter()

    class Watched(Sliced):
        def read(self, rows, columns):
            for y in range(rows[0] // chunk[0], -(-rows[1] // chunk[0])):
                for x in range(columns[0] // chunk[1], -(-columns[1] // chunk[1])):
                    pieces[y, x] += (rows[1] - rows[0]) * (columns[1] - columns[0]) > 1 or chunk == (1, 1)
            return super().read(rows, columns)

    line = Format("held", "held", (".held",), b"", lambda path, asked: Watched(COUNTS, None, chunk))
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, line))
    (tmp_path / "scan.held").write_bytes(b"")
    monkeypatch.setattr(prepare, "look", lambda file, used, *masked: Looked(1, 1.0, ~used, ~used))
    made = ptychodask.import_data(tmp_path / "scan.held", tmp_path / "scan.zarr", **FACTS)
    np.testing.assert_array_equal(open_dataset(made).counts.values, COUNTS)
    assert set(pieces.values()) == {1}
    assert dataset_info(made.path).shard == (10, 9)  # whatever the file's pieces are


@pytest.mark.parametrize("turns", [{}, {"flip": True}, {"transpose": True}, {"rotate180": True},
                                   {"flip": True, "transpose": True, "rotate180": True}])  # fmt: skip
def test_orientation_keeps_zero_angle_where_it_is(npy, tmp_path, turns):
    made = ptychodask.import_data(npy, tmp_path / "scan.zarr", **FACTS, **turns)
    expected = COUNTS
    if "flip" in turns:
        expected = np.roll(expected[:, :, ::-1], 1, axis=2)
    if "transpose" in turns:
        expected = expected.swapaxes(2, 3)
    if "rotate180" in turns:
        expected = np.roll(expected[:, :, ::-1, ::-1], (1, 1), axis=(2, 3))
    np.testing.assert_array_equal(open_dataset(made).counts.values, expected)
    centre = np.zeros((N, N))
    centre[N // 2, N // 2] = 1
    np.testing.assert_array_equal(Orientation(**turns).applied(centre), centre)


def test_patterns_that_are_not_square_are_padded_and_masked(tmp_path):
    np.save(tmp_path / "scan.npy", COUNTS[..., :9, :])
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS)
    data = open_dataset(made)
    assert data.counts.shape[2:] == (N, N)
    np.testing.assert_array_equal(data.counts.values[..., 4:13, :], COUNTS[..., :9, :])
    assert (data.mask.values.any(axis=1) == [4 <= row < 13 for row in range(N)]).all()
    assert "144 are used" in label(made, "patterns")[1]


def test_gain_makes_counts_of_what_is_none(tmp_path):
    noisy = COUNTS * 37.5 + np.random.default_rng(1).normal(0, 3, COUNTS.shape)
    np.save(tmp_path / "scan.npy", noisy.astype(np.float32))
    with pytest.raises(InputError, match=r"no whole numbers \(.*\), so they are not counts: give --gain"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS)
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", gain_adu=37.5, **FACTS)
    np.testing.assert_array_equal(open_dataset(made).counts.values, COUNTS)
    assert label(made, "counts")[0] == "value / gain, rounded" and label(made, "gain") == (
        "37.5 ADU",
        "given, per electron",
    )


def test_whole_numbers_in_floats_are_counts(tmp_path):
    np.save(tmp_path / "scan.npy", COUNTS.astype(np.float32))
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS)
    assert open_dataset(made).counts.dtype == np.uint16
    odd = COUNTS.astype(np.float32)
    odd[11, 3, 2, 2] = 0.5  # in no frame that is looked at
    np.save(tmp_path / "scan.npy", odd)
    with pytest.raises(InputError, match="in scan rows 10 to 19, columns 0 to 8 are no whole numbers: give --gain"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "other.zarr", **FACTS)
    assert not (tmp_path / "other.zarr").exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{"gain_adu": 2.0}, {"gain_adu": 2.0, "mask_bad": True}, {"count": True}, {}])
@pytest.mark.parametrize("angle", [1.6, None])
def test_what_is_no_number_is_said_before_anything_is_made_of_it(tmp_path, value, options, angle):
    counts = COUNTS.astype(np.float32)
    counts[:, :, 2, 2] = value
    np.save(tmp_path / "scan.npy", counts)
    said = {**FACTS, **options, "angular_step_mrad": angle}
    with pytest.raises(InputError, match=r"values in \d+ of the \d+ frames looked at are NaN or infinite: .*--mask"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **said)


@pytest.mark.parametrize(
    ("dtype", "value", "gain", "message"),
    [
        (np.int16, -1, None, "counts as low as -1 in scan rows 10 to 19"),
        (np.float32, np.nan, 2.0, "NaN or infinite: 1 count in scan rows 10 to 19"),
        (np.float32, np.inf, None, "NaN or infinite: 1 count in scan rows 10 to 19"),
        (np.uint32, 70000, None, "counts up to 70000 in scan rows 10 to 19, columns 0 to 8 do not fit uint16"),
    ],
)
def test_what_no_detector_counts_is_found_in_any_frame(tmp_path, dtype, value, gain, message):
    counts = COUNTS.astype(dtype)
    counts[11, 3, 2, 2] = value  # in no frame that is looked at
    np.save(tmp_path / "scan.npy", counts)
    with pytest.raises(InputError, match=message):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", gain_adu=gain, **FACTS)
    assert not (tmp_path / "scan.zarr").exists()
    mask = np.ones((N, N))
    mask[2, 2] = 0  # what stands there is never looked at
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", gain_adu=gain, mask=mask, **FACTS)
    assert open_dataset(made).counts[11, 3, 2, 2] == 0


def test_a_file_is_never_in_memory_whole(tmp_path):
    counts = np.random.default_rng(0).poisson(0.1, (128, 64, 64, 64)).astype(np.uint16)  # 64 MiB
    np.save(tmp_path / "scan.npy", counts)
    options = {**FACTS, "angular_step_mrad": 0.4}
    ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "first.zarr", **options)  # what is imported counts too
    tracemalloc.start()
    try:
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < counts.nbytes / 2


def dead(counts):
    counts = counts.copy()
    counts[..., 3, 5] = 65535
    return counts


REFUSED = {
    "no electrons": (COUNTS * 0, {}, "all of the 16 frames looked at hold no electrons"),
    "too large a gain": (COUNTS, {"gain_adu": 1e4}, "gain 10000.*too large"),
    "saturated": (dead(COUNTS), {}, "1 pixel of 16 of the 16 frames looked at hold 65535.*--mask-saturated"),
    "negative": (COUNTS.astype(np.int16) - 3, {}, "values as low as -3 are no counts"),
    "missing": (COUNTS, {"energy_ev": None, "scan_step_angstrom": None}, r"give --energy \(keV.*--step"),
    "step in m": (COUNTS, {"scan_step_angstrom": 1e-10}, "scan_step_angstrom"),
    "angle in rad": (COUNTS, {"semi_angle_mrad": 0.008}, "in mrad, not in rad"),
    "energy in keV": (COUNTS, {"energy_ev": 300}, "beam energy in eV"),
    "gain": (COUNTS, {"gain_adu": 0}, "gain_adu"),
    "mask": (COUNTS, {"mask": np.ones((3, 3))}, "mask has shape"),
    "scan": (COUNTS, {"scan_shape": (7, 7)}, "360 whole frames.*18 20"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_before_any_work(tmp_path, name, monkeypatch):
    counts, options, message = REFUSED[name]
    np.save(tmp_path / "scan.npy", counts)
    monkeypatch.setattr(run, "connect", None)
    with pytest.raises(InputError, match=message) as caught:
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **{**FACTS, **options})
    assert "\n" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["scan.npy"]


def test_dead_pixels_and_masks(tmp_path):
    np.save(tmp_path / "scan.npy", dead(COUNTS))
    mask = np.ones((N, N))
    mask[:, 0] = 0
    np.save(tmp_path / "mask.npy", mask)
    made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS, mask_saturated=True,
                                  mask=tmp_path / "mask.npy")  # fmt: skip
    mask[3, 5] = 0
    data = open_dataset(made)
    np.testing.assert_array_equal(data.mask.values != 0, mask != 0)
    np.testing.assert_array_equal(data.counts.values, COUNTS * (mask != 0))


def test_dark_frames_are_told(tmp_path):
    counts = COUNTS.copy()
    counts[3, 4] = counts[7] = 0
    np.save(tmp_path / "scan.npy", counts)
    with pytest.warns(ptychodask.PtychodaskWarning, match="19 of 360 patterns hold no electrons"):
        made = ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "scan.zarr", **FACTS)
    assert "data.exclude=misfired" in made.warnings[0]


def test_frequencies_become_angles(tmp_path, monkeypatch):
    line = Format("held", "held", (".held",), b"",
                  lambda path, asked: Sliced(COUNTS, about=About({"reciprocal_step_per_angstrom": 0.08})))  # fmt: skip
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, line))
    (tmp_path / "scan.held").write_bytes(b"")
    options = {**FACTS, "angular_step_mrad": None}
    made = ptychodask.import_data(tmp_path / "scan.held", tmp_path / "scan.zarr", **options)
    assert dataset_info(made.path).detector.angular_step_mrad == pytest.approx(0.08 * 0.019687 * 1e3, rel=1e-4)


@pytest.mark.distributed
@pytest.mark.slow
def test_processes_open_the_file_themselves(npy, tmp_path):
    made = ptychodask.import_data(npy, tmp_path / "scan.zarr", **FACTS, workers=2)
    np.testing.assert_array_equal(open_dataset(made).counts.values, COUNTS)


def test_crop_bin_and_pad(tmp_path):
    """Electrons are added, zero angle stays in the middle of a pixel, what the detector lacks is masked."""
    counts = RNG.integers(0, 3, (4, 5, 19, 24)).astype(np.uint8)
    np.save(tmp_path / "scan.npy", counts)
    known = {"energy_ev": 300e3, "semi_angle_mrad": 5, "angular_step_mrad": 1.0, "scan_step_angstrom": 1.0}

    def made(**options):
        path = ptychodask.import_data(
            tmp_path / "scan.npy", tmp_path / "scan.zarr", overwrite=True, progress=False, **known, **options
        )
        opened = ptychodask.open_dataset(path)
        return opened.counts.values, opened.mask.values, opened.attrs["angular_step_mrad"]

    found, mask, step = made(crop=16)
    np.testing.assert_array_equal(found, counts[:, :, 1:17, 4:20])
    assert mask.all() and step == 1.0
    found, mask, _ = made(pad=32)
    np.testing.assert_array_equal(found[:, :, 7:26, 4:28], counts)
    assert mask.sum() == 19 * 24 and found.sum() == counts.sum()
    found, mask, step = made(crop=15, bin=3, pad=8)
    middle = counts[:, :, 2:17, 5:20].reshape(4, 5, 5, 3, 5, 3).sum(axis=(3, 5))
    np.testing.assert_array_equal(found[:, :, 2:7, 2:7], middle)
    assert step == 3.0 and mask.sum() == 25 and found.sum() == middle.sum()
    found, mask, _ = made(bin=2, flip=True)
    lit = np.zeros((4, 5, 24, 24), np.int64)
    lit[:, :, 3:22] = counts
    lit = np.roll(np.flip(lit, 2), 1, 2)
    lit = np.pad(lit, ((0, 0), (0, 0), (1, 0), (1, 0)))[:, :, :24, :24]  # by half a bin
    np.testing.assert_array_equal(found[..., mask > 0], lit.reshape(4, 5, 12, 2, 12, 2).sum((3, 5))[..., mask > 0])
    for options, words in (({"crop": 100}, "crop"), ({"bin": 0}, "bin"), ({"pad": 20}, "pad"), ({"pad": 33}, "even")):
        with pytest.raises(InputError, match=words) as caught:
            made(**options)
        assert "\n" not in str(caught.value)


def test_the_disk_says_the_angular_step(tmp_path):
    y, x = np.mgrid[:32, :32] - np.array([17.0, 15.0])[:, None, None]
    disk = np.clip(9.4 - np.hypot(y, x) + 0.5, 0, 1) ** 2
    np.save(tmp_path / "scan.npy", RNG.poisson(3 * disk, (16, 16, 32, 32)).astype(np.uint8))
    known = {"energy_ev": 300e3, "semi_angle_mrad": 10, "scan_step_angstrom": 1.0, "overwrite": True, "progress": False}
    path = tmp_path / "scan.npy", tmp_path / "scan.zarr"
    made = ptychodask.import_data(*path, **known)
    opened = ptychodask.open_dataset(made)
    assert opened.attrs["angular_step_mrad"] == pytest.approx(10 / 9.4, rel=5e-3)
    assert opened.attrs["angular_step_from"] == "the disk" and "the disk: 9." in str(made)
    given = ptychodask.open_dataset(ptychodask.import_data(*path, angular_step_mrad=1.0, **known))
    assert given.attrs["angular_step_mrad"] == 1.0 and "angular_step_from" not in given.attrs
    np.save(tmp_path / "scan.npy", RNG.poisson(0.5, (8, 8, 32, 32)).astype(np.uint8))
    with pytest.raises(InputError, match=r"give --angular-step .*disk") as caught:
        ptychodask.import_data(*path, **known)
    assert "\n" not in str(caught.value)


def test_what_file_and_person_say_differently_is_told(tmp_path):
    counts = RNG.poisson(1.0, (6, 6, 16, 16)).astype(np.uint8)
    said = {"energy_ev": 200e3, "semi_angle_mrad": 5.0, "defocus_angstrom": -120.0, "angular_step_mrad": 1.0}
    np.savez(tmp_path / "scan.npz", counts=counts, **said)
    given = {"scan_step_angstrom": 1.0, "dataset": "counts", "progress": False}
    with pytest.warns(ptychodask.PtychodaskWarning, match=r"defocus_angstrom = 300 is given; the file says -120"):
        made = ptychodask.import_data(
            tmp_path / "scan.npz", tmp_path / "scan.zarr", defocus_angstrom=300, energy_ev=200e3, **given
        )
    assert len(made.warnings) == 1 and "\n" not in made.warnings[0]
    assert open_dataset(made).attrs["aberrations"] == {"C10": -300.0}


@pytest.mark.parametrize("kind", ["npy", "packed.npz"])
def test_a_scan_that_is_laid_out_anew_is_told(tmp_path, kind):
    stored, path = RNG.poisson(1.0, (100, 101, N, N)).astype(np.uint8), tmp_path / f"scan.{kind}"
    (np.save if kind == "npy" else np.savez_compressed)(path, stored)
    with pytest.warns(
        ptychodask.PtychodaskWarning, match=r"scan_shape = \(101, 100\) is given; .* \(100, 101\): check"
    ):
        made = ptychodask.import_data(path, tmp_path / "scan.zarr", scan_shape=(101, 100), progress=False, **FACTS)
    assert label(made, "scan") == ("101 x 100", "given; the file says (100, 101)")
    same = ptychodask.import_data(path, tmp_path / "same.zarr", scan_shape=(100, 101), progress=False, **FACTS)
    assert label(same, "scan") == ("100 x 101", "given") and same.warnings == ()


def test_rows_that_are_not_read_are_no_other_scan(npy, tmp_path):
    made = ptychodask.import_data(npy, tmp_path / "scan.zarr", scan_shape=(4, 18), allow_partial=True, **FACTS)
    assert made.warnings == () and made.notes == ("not read: 288 frames after the scan",)
