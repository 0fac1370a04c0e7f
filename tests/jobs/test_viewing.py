"""``view`` from end to end: NumPy's sums, planted phases, same bits anywhere, bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import tiny_scan
from tiny_scan import OPTICS, N, expected_counts, write_scan

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.export import export_tiff
from ptychodask.jobs.viewing.save import stack_of

PEAKS = ((4, 5, 0.2), (9, 12, 0.2), (15, 6, 0.2), (13, 17, 0.2), (18, 18, 0.2))
SCAN = (24, 22)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("view")
    write_scan(place / "scan.zarr", SCAN, electrons=3e4, peaks=PEAKS, chunks=(8, 8))
    return place


@pytest.fixture(scope="module")
def images(folder):
    ring = np.zeros((N, N))
    ring[3:9, 20:25] = 0.5
    return ptychodask.view(folder / "scan.zarr", annuli=[(2, 9.5)], masks={"box": ring})


def truth(images, axes=("fine_y", "fine_x")):
    y, x = images[axes[0]].values[:, None], images[axes[1]].values[None, :]
    return sum(h * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 0.6**2)) for cy, cx, h in PEAKS)


def alike(one, other):
    """Correlation of two images."""
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def test_every_image_is_what_numpy_says(folder, images):
    data = ptychodask.open_dataset(folder / "scan.zarr")
    counts = data.counts.values.astype(float)
    ky, kx = np.meshgrid(data.ky, data.kx, indexing="ij")
    angle, most, step = np.hypot(ky, kx), N / 2 * OPTICS["angular_step_mrad"], OPTICS["angular_step_mrad"]
    for name, inner, outer in (
        ("bf", 0, 12), ("abf", 6, 12), ("adf", 12 + step, most), ("annulus_2_9.5", 2, 9.5), ("electrons", 0, 99),
    ):  # fmt: skip
        expected = counts[..., (angle >= inner) & (angle < outer)].sum(axis=-1)
        np.testing.assert_array_equal(images[name], expected, err_msg=name)
        assert images[name].attrs["units"] == "electron"
    np.testing.assert_allclose(images.box, 0.5 * counts[..., 3:9, 20:25].sum(axis=(2, 3)))
    total = counts.sum(axis=(2, 3))
    np.testing.assert_allclose(images.com_y, (counts * ky).sum(axis=(2, 3)) / total, atol=1e-9)
    np.testing.assert_allclose(images.com_x, (counts * kx).sum(axis=(2, 3)) / total, atol=1e-9)
    np.testing.assert_allclose(images.pattern, counts.mean(axis=(0, 1)))
    np.testing.assert_array_equal(images.pattern.ky, data.ky)
    np.testing.assert_allclose(images.y, np.arange(SCAN[0]), atol=1e-9)
    assert images.y.attrs["units"] == "angstrom" and images.com_x.attrs["units"] == "mrad"


def test_parallax_sharpens_with_the_right_defocus_only(folder, images):
    def contrast(one):
        return float(one.parallax[4:-4, 4:-4].std())

    right, phase = contrast(images), alike(images.parallax_phase, truth(images))
    assert float(images.parallax.mean()) == pytest.approx(1, abs=2e-3)
    assert alike(images.parallax, truth(images)) < -0.4  # underfocus: a positive phase is dark
    assert phase > 0.8
    for wrong in (-100.0, 300.0, 50.0):
        other = ptychodask.view(folder / "scan.zarr", defocus_angstrom=wrong, upsample=1)
        assert contrast(other) < 0.75 * right
        assert alike(other.parallax_phase, truth(other)) < phase - 0.05


@pytest.mark.parametrize("defocus", [150.0, -150.0])
def test_the_phase_is_bright_on_both_sides_of_focus(tmp_path, monkeypatch, defocus):
    monkeypatch.setattr(tiny_scan, "MICROSCOPE", ptychodask.Microscope(300e3, 12.0, {"C10": -defocus}))
    path = write_scan(tmp_path / "scan.zarr", SCAN, electrons=1e4, peaks=PEAKS, chunks=(8, 8), defocus_angstrom=defocus)
    images = ptychodask.view(path, upsample=2)
    assert images.parallax.shape == (47, 43) and float(images.fine_y[1]) == pytest.approx(0.5)
    assert alike(images.parallax_phase, truth(images)) > 0.5
    assert np.sign(alike(images.parallax, truth(images))) == -np.sign(defocus)


def test_a_turned_scan_gives_the_same_phase(tmp_path):
    """Positions turned by 40 degrees around the scan's middle: patterns know nothing of the scan's axes."""
    angle = np.deg2rad(40)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([11.0, 10.0])
    peaks = tuple((*(turn @ (np.array(p[:2]) - middle) + middle), p[2]) for p in PEAKS)
    raster = tiny_scan.raster(SCAN, (1.0, 1.0))
    positions = (raster - middle) @ turn.T + middle
    patch = pytest.MonkeyPatch()
    patch.setattr(tiny_scan, "raster", lambda *a: positions)
    try:
        expected, _ = expected_counts(SCAN, 1.0, 1e4, peaks)
    finally:
        patch.undo()
    counts = np.random.default_rng(0).poisson(expected).astype(np.uint16)
    path = ptychodask.create_dataset(
        tmp_path / "scan.zarr", counts, scan_step_angstrom=1.0, positions_angstrom=positions, chunks=(8, 8), **OPTICS
    )
    images = ptychodask.view(path)
    assert any("its own axes" in note for note in images.attrs["notes"])
    assert alike(images.parallax_phase, truth(images)) > 0.55
    assert alike(images.icom, truth(images, ("y", "x"))) > 0.5


def test_free_positions_are_seen_too(tmp_path, folder):
    """The same patterns in any order: parallax has the same bits of places, the rest is interpolated."""
    data = ptychodask.open_dataset(folder / "scan.zarr")
    order = np.random.default_rng(0).permutation(SCAN[0] * SCAN[1])
    counts = data.counts.values.reshape(1, -1, N, N)[:, order]
    positions = data.positions.values.reshape(1, -1, 2)[:, order]
    path = ptychodask.create_dataset(
        tmp_path / "free.zarr", counts, scan_step_angstrom=1.0, positions_angstrom=positions, chunks=(1, 64), **OPTICS
    )
    images, known = ptychodask.view(path), ptychodask.view(folder / "scan.zarr")
    assert "icom" not in images and "no raster" in images.attrs["notes"][0]
    np.testing.assert_allclose(images.parallax, known.parallax, rtol=1e-9)
    np.testing.assert_allclose(images.bf, known.bf, rtol=1e-9)


def test_masked_pixels_are_never_looked_at(tmp_path, folder):
    data = ptychodask.open_dataset(folder / "scan.zarr")
    counts, mask = data.counts.values.astype(np.float32), np.ones((N, N), np.uint8)
    mask[14:17, 12:20] = 0
    clean = np.where(mask, counts, 0)
    paths = []
    for name, values in (("dirty", np.where(mask, counts, np.nan)), ("clean", clean)):
        paths.append(
            ptychodask.create_dataset(
                tmp_path / f"{name}.zarr", np.ma.masked_invalid(values).filled(7.0), mask=mask, scan_step_angstrom=1.0,
                chunks=(8, 8), **OPTICS,
            )
        )  # fmt: skip
    dirty, clean = (ptychodask.view(path) for path in paths)
    for name in dirty.data_vars:
        np.testing.assert_array_equal(dirty[name], clean[name], err_msg=name)
    assert np.isnan(dirty.pattern.values[mask == 0]).all() and np.isfinite(dirty.parallax).all()
    assert alike(dirty.parallax_phase, truth(dirty)) > 0.5


def test_a_selection_is_seen_alone(folder, images):
    data = ptychodask.open_dataset(folder / "scan.zarr")
    part = ptychodask.view(data.isel(scan_y=slice(4, 20), scan_x=slice(0, 22, 2)))
    np.testing.assert_array_equal(part.adf, images.adf[4:20, ::2])
    np.testing.assert_allclose(part.x, 2.0 * np.arange(11), atol=1e-9)
    np.testing.assert_allclose(part.y, np.arange(4, 20), atol=1e-9)


@pytest.mark.distributed
def test_any_workers_give_the_same_bits(folder, monkeypatch):
    monkeypatch.setattr("ptychodask.jobs.viewing.wanted.RUNS_BYTES", 0)  # several runs are what is merged
    one = ptychodask.view(folder / "scan.zarr", annuli=[(2, 9)])
    two = ptychodask.view(folder / "scan.zarr", annuli=[(2, 9)], workers=2)
    for name in one.data_vars:
        assert one[name].values.tobytes() == two[name].values.tobytes(), name


def test_memory_does_not_grow_with_the_counts(tmp_path):
    counts = np.random.default_rng(0).poisson(3.0, (16, 16, 64, 64)).astype(np.uint8)
    optics = {"energy_ev": 300e3, "semi_angle_mrad": 10.0, "defocus_angstrom": 100.0, "angular_step_mrad": 1.0}

    def peak(times: int) -> float:
        path = tmp_path / f"{times}.zarr"
        tall = np.tile(counts, (times, 1, 1, 1))
        ptychodask.create_dataset(path, tall, scan_step_angstrom=1.0, chunks=(16, 16), **optics)
        ptychodask.view(path)  # what is loaded once
        tracemalloc.start()
        try:
            ptychodask.view(path)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(4), peak(16)
    assert large - small < 0.5 * 12 * counts.nbytes, (small, large)


def test_damaged_chunks_are_told_or_left_out(tmp_path, folder):
    path = write_scan(tmp_path / "scan.zarr", (12, 12), electrons=500, peaks=PEAKS, chunks=(6, 6))
    shard = path / "counts" / "c" / "0" / "1" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(InputError, match="--mask-damaged"):
        ptychodask.view(path)
    images = ptychodask.view(path, mask_damaged=True)
    lost = np.isnan(images.bf.values)
    assert lost.any() and not lost[6:].any() and not lost[:, :6].any()
    assert f"{lost.sum()} positions left out" in images.attrs["notes"][0]
    assert np.isfinite(images.icom).all()


def test_in_focus_there_is_no_parallax_and_the_centre_of_mass_is_the_slope(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_scan, "MICROSCOPE", ptychodask.Microscope(300e3, 12.0))
    path = write_scan(tmp_path / "scan.zarr", SCAN, electrons=1e4, peaks=PEAKS, chunks=(8, 8), defocus_angstrom=0.0)
    images = ptychodask.view(path)
    assert "parallax" not in images and images.attrs["notes"][0].startswith("no parallax: a defocus of 0 A")
    assert alike(images.icom, truth(images, ("y", "x"))) > 0.7
    ptychodask.view(path, tmp_path / "focus.png")


def test_patterns_off_centre_are_told(tmp_path, folder):
    counts = np.roll(ptychodask.open_dataset(folder / "scan.zarr").counts.values[:8, :8], 3, axis=-1)
    path = ptychodask.create_dataset(tmp_path / "scan.zarr", counts, scan_step_angstrom=1.0, **OPTICS)
    notes = ptychodask.view(path).attrs["notes"]
    assert any("off centre by" in note and f"{3 * OPTICS['angular_step_mrad']:.2g}"[:3] in note for note in notes)


def test_patterns_without_electrons_have_no_centre(tmp_path):
    counts = np.zeros((6, 6, N, N), np.uint8)
    counts[..., N // 2, N // 2] = 1
    counts[2, 3] = 0
    path = ptychodask.create_dataset(tmp_path / "scan.zarr", counts, scan_step_angstrom=1.0, **OPTICS)
    images = ptychodask.view(path)
    assert np.isnan(images.com_y.values[2, 3]) and np.isfinite(images.com_y.values).sum() == 35
    assert "1 pattern without electrons" in images.attrs["notes"][0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"annuli": [(30, 20)]}, "inner one below"),
        ({"annuli": 3}, "annuli = 3"),
        ({"masks": {"a": np.ones((4, 4))}}, "shape"),
        ({"masks": [1]}, "dictionary"),
        ({"upsample": 9}, "upsample = 9"),
        ({"upsample": 8, "defocus_angstrom": 50.0}, "upsample = 8: rays"),
        ({"defocus_angstrom": 1e-9}, "probe.defocus_angstrom"),
        ({"defocus_angstrom": 9e5}, "is the defocus in angstrom"),
        ({"workers": 0}, "workers = 0"),
        ({"progress": 4}, "progress"),
        ({"output": "images.bmp"}, "no picture ends in"),
        ({"output": "absent/images.png"}, "does not exist"),
        ({"output": "scan.zarr/images.png"}, "is inside"),
    ],
)
def test_bad_input_is_told_before_anything_is_read(folder, monkeypatch, options, told):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("ptychodask.jobs.viewing.run.connect", lambda *a, **k: pytest.fail("a cluster was started"))
    with pytest.raises(InputError, match=told) as error:
        ptychodask.view("scan.zarr", **options)
    assert "\n" not in str(error.value)


def test_what_is_written(folder, images, tmp_path):
    from PIL import Image

    for name in ("all.png", "all.tif"):
        ptychodask.view(folder / "scan.zarr", tmp_path / name)
    with pytest.raises(InputError, match="exists"):
        ptychodask.view(folder / "scan.zarr", tmp_path / "all.png")
    stack = stack_of(images)
    assert stack.shape[1:] == SCAN and "parallax" not in images[[n for n in images if images[n].dims == ("y", "x")]]
    export_tiff(stack, tmp_path / "own.tif")
    with Image.open(tmp_path / "all.tif") as file:
        assert file.n_frames == 7
        file.seek(1)
        np.testing.assert_array_equal(np.asarray(file), images.bf.astype(np.float32))
    h5py = pytest.importorskip("h5py")
    ptychodask.view(folder / "scan.zarr", tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5") as file:
        np.testing.assert_array_equal(file["parallax"][()], images.parallax)
        assert file["icom"].attrs["units"] == "rad" and file["parallax"].dims[0][0].attrs["units"] == "angstrom"
