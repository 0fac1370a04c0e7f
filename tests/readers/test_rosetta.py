"""hspy, zspy and DigitalMicrograph: through rosettasciio, read where they lie."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import zarr

from ptychodask._errors import InputError
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened
from ptychodask.readers.rosetta import calibration

pytest.importorskip("rsciio")

N = 16
COUNTS = np.random.default_rng(6).integers(0, 900, (3, 4, N, N)).astype(np.uint16)


def axes(*scales_and_units):
    return [{"name": "", "size": size, "index_in_array": k, "scale": scale, "offset": 0.0, "units": unit,
             "navigate": k < len(scales_and_units) - 2}
            for k, (size, scale, unit) in enumerate(scales_and_units)]  # fmt: skip


def save(path: Path, counts: np.ndarray = COUNTS) -> Path:
    """A signal as hyperspy lays it out, in HDF5 or in a Zarr folder."""
    if path.suffix == ".hspy":
        root = pytest.importorskip("h5py").File(path, "w")
    else:
        root = zarr.open_group(str(path), mode="w", zarr_format=2)
    root.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.3"})
    signal = root.create_group("Experiments/scan")
    signal.attrs.update({"package": "hyperspy", "package_version": "2"})
    shape, chunks = counts.shape, (*(2,) * (counts.ndim - 2), N, N)
    create = signal.create_dataset if path.suffix == ".hspy" else signal.create_array
    create("data", shape=shape, dtype=counts.dtype, chunks=chunks)[...] = counts
    its = axes(*((n, 0.2, "nm") for n in shape[:-2]), *((n, 0.25, "1/nm") for n in shape[-2:]))
    for k, axis in enumerate(its):
        signal.create_group(f"axis-{k}").attrs.update(axis)
    signal.create_group("original_metadata"), signal.create_group("learning_results")
    signal.create_group("metadata/General").attrs["title"] = "scan"
    microscope = signal.create_group("metadata/Acquisition_instrument/TEM")
    microscope.attrs.update({"beam_energy": 200.0, "convergence_angle": 8.5})
    if path.suffix == ".hspy":
        root.close()
    return path


@pytest.mark.parametrize("ending", ["hspy", "zspy"])
def test_hyperspy(tmp_path, ending):
    form, reader = opened(save(tmp_path / f"scan.{ending}"))
    assert form.name == ending and reader.shape == COUNTS.shape and reader.dtype == np.uint16
    assert reader.about.metadata == (
        {
            "energy_ev": 200e3,
            "semi_angle_mrad": 8.5,
            "scan_step_angstrom": pytest.approx([2.0, 2.0]),
            "reciprocal_step_per_angstrom": pytest.approx(0.025),
        }
    )
    np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), COUNTS)
    np.testing.assert_array_equal(reader.read((1, 2), (1, 3)), COUNTS[1:2, 1:3])
    with pytest.raises(InputError, match="is a scan of 3 x 4, not of 4 x 3"):
        open_counts(tmp_path / f"scan.{ending}", asked=Asked((4, 3)))


@pytest.mark.parametrize("ending", ["hspy", "zspy"])
def test_a_stack_needs_a_scan(tmp_path, ending):
    path = save(tmp_path / f"stack.{ending}", COUNTS.reshape(12, N, N))
    with pytest.raises(InputError, match=r"0 arrays of counts .* it holds scan \(12, 16, 16\)"):
        open_counts(path)
    np.testing.assert_array_equal(open_counts(path, asked=Asked((3, 4))).read((0, 3), (0, 4)), COUNTS)
    with pytest.raises(InputError, match=r"12 whole frames.*3 4, 4 3"):
        open_counts(path, asked=Asked((5, 4)))


def tag(name: str, content: bytes, group: bool = False) -> bytes:
    body = name.encode()
    return struct.pack(">BH", 20 if group else 21, len(body)) + body + struct.pack(">Q", len(content)) + content


def number(name: str, value: float, kind: int, code: str) -> bytes:
    return tag(name, b"%%%%" + struct.pack(">QQ", 1, kind) + struct.pack(f"<{code}", value))


def words(name: str, values: np.ndarray, kind: int) -> bytes:
    return tag(name, b"%%%%" + struct.pack(">QQQQ", 3, 20, kind, values.size) + values.tobytes())


def text(name: str, value: str) -> bytes:
    return words(name, np.frombuffer(value.encode("utf-16-le"), "<u2"), 4)


def group(name: str, *tags: bytes) -> bytes:
    return tag(name, struct.pack(">BBQ", 1, 0, len(tags)) + b"".join(tags), group=True)


def dm4(path: Path, stored: np.ndarray, units: list[str], brightness: str = "", cut: int = 0) -> Path:
    """A file of one image; axes from the fastest, as DigitalMicrograph has them."""
    one = [number("Origin", 0, 6, "f"), number("Scale", 0.5, 6, "f")]
    calibrations = [group("", *one, text("Units", unit)) for unit in reversed(units)]
    sizes = [number("", n, 5, "I") for n in reversed(stored.shape)]
    data = group(
        "ImageData",
        group("Calibrations", group("Brightness", *one[:1], number("Scale", 1, 6, "f"), text("Units", brightness)),
              group("Dimension", *calibrations)),
        words("Data", stored.astype("<u2"), 4), number("DataType", 10, 5, "I"), group("Dimensions", *sizes),
        number("PixelDepth", 2, 5, "I"),
    )  # fmt: skip
    tags = group("ImageTags", group("Microscope Info", number("Voltage", 300000, 7, "d")))
    image = group("", data, text("Name", "scan"), tags)
    root = struct.pack(">BBQ", 1, 0, 1) + group("ImageList", image)
    content = struct.pack(">IQI", 4, len(root), 1) + root + b"\0" * 8
    path.write_bytes(content[: len(content) - cut])
    return path


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("brightness", ["e-", ""])
def test_digitalmicrograph(tmp_path, swapped, brightness):
    stored, units = (
        (COUNTS.transpose(2, 3, 0, 1), ["1/nm", "1/nm", "nm", "nm"])
        if swapped
        else (COUNTS, ["nm", "nm", "1/nm", "1/nm"])
    )
    form, reader = opened(dm4(tmp_path / "scan.dm4", np.ascontiguousarray(stored), units, brightness))
    assert form.name == "dm4" and reader.shape == COUNTS.shape
    assert reader.about.unit == ("electron" if brightness else "ADU")
    assert reader.about.metadata == (
        {
            "energy_ev": 300e3,
            "scan_step_angstrom": pytest.approx([5.0, 5.0]),
            "reciprocal_step_per_angstrom": pytest.approx(0.05),
        }
    )
    np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), COUNTS)
    np.testing.assert_array_equal(reader.read((1, 3), (1, 3)), COUNTS[1:, 1:3])
    assert any("within every" in note for note in reader.about.notes) == swapped


def test_stacks_of_digitalmicrograph(tmp_path):
    path = dm4(tmp_path / "scan.dm4", COUNTS.reshape(12, N, N), ["", "1/nm", "1/nm"])
    np.testing.assert_array_equal(open_counts(path, asked=Asked((3, 4))).read((0, 3), (0, 4)), COUNTS)


@pytest.mark.parametrize(("unit", "name", "value"), [
    ("mrad", "angular_step_mrad", 0.5), ("rad", "angular_step_mrad", 500),
    ("1/nm", "reciprocal_step_per_angstrom", 0.05), ("nm^-1", "reciprocal_step_per_angstrom", 0.05),
    ("1 / Å", "reciprocal_step_per_angstrom", 0.5), ("px", None, None),
])  # fmt: skip
def test_units_of_the_detector(unit, name, value):
    found = calibration(axes((3, 1.0, "px"), (4, 1.0, "px"), (N, 0.5, unit), (N, 0.5, unit)), None)
    assert found == ({} if name is None else {name: pytest.approx(value)})
