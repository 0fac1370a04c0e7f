"""EMPAD: 130 rows of which 128 are an image, the scan from the XML, the name or a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

XML = """<root name="7"><software_version>{version}</software_version><raw_file filename="{raw}"/>
<scan_parameters mode="search"><scan_size>0.8</scan_size><scan_resolution_y>64</scan_resolution_y>
<scan_resolution_x>64</scan_resolution_x></scan_parameters>
<scan_parameters mode="acquire"><scan_size>0.5</scan_size><scan_resolution_x>3</scan_resolution_x>
<scan_resolution_y>2</scan_resolution_y></scan_parameters><iom_measurements>{measured}</iom_measurements></root>"""
NEW = """<full_scan_field_of_view><scale_factor>0.72</scale_factor><x>4.32e-9</x><y>4.32e-9</y>
</full_scan_field_of_view><high_voltage>200000.0</high_voltage>"""
OLD = """<source.get_voltage>300000.0</source.get_voltage>
<optics.get_full_scan_field_of_view>[6e-09, 6e-09]</optics.get_full_scan_field_of_view>"""
VALUES = np.random.default_rng(2).normal(100, 50, (6, 130, 128)).astype("<f4")


def scan(folder: Path, name: str, measured: str = "", version: str = "1.2.0") -> Path:
    VALUES.tofile(folder / name)
    if measured:
        (folder / "scan.xml").write_text(XML.format(raw=name, measured=measured, version=version))
    return folder / name


@pytest.mark.parametrize(("measured", "energy", "step"), [(NEW, 200e3, 10.0), (OLD, 300e3, 10.0)])
@pytest.mark.parametrize("opened_as", ["raw", "xml"])
def test_with_xml(tmp_path, measured, energy, step, opened_as):
    path = scan(tmp_path, "scan.raw", measured)
    form, reader = opened(path if opened_as == "raw" else tmp_path / "scan.xml")
    assert form.name == "empad" and reader.shape == (2, 3, 128, 128) and reader.about.unit == "ADU"
    assert reader.about.metadata == {"energy_ev": energy, "scan_step_angstrom": pytest.approx(step)}
    np.testing.assert_array_equal(reader.read((0, 2), (0, 3)), VALUES[:, :128].reshape(2, 3, 128, 128))


def test_without_xml(tmp_path):
    reader = open_counts(scan(tmp_path, "scan_x2_y3.raw"))
    assert reader.shape == (3, 2, 128, 128) and not reader.about.metadata
    path = scan(tmp_path, "other.raw")
    with pytest.raises(InputError, match=r"6 whole frames and does not say its scan: .* 2 3, 3 2, 1 6, 6 1 fit"):
        open_counts(path)
    assert open_counts(path, asked=Asked((6, 1))).shape[:2] == (6, 1)
    assert any("phaser" in note and "--flip" in note for note in reader.about.notes)


def test_cut_off(tmp_path):
    path = scan(tmp_path, "scan.raw", NEW)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"5 whole frames and 66559 bytes of another, its header says 2 x 3 = 6"):
        open_counts(path)
    assert open_counts(path, asked=Asked(allow_partial=True)).about.missing == 1
    (tmp_path / "scan.xml").write_text("<root")
    with pytest.raises(InputError, match="is no XML"):
        open_counts(tmp_path / "scan.xml", "empad")


REAL = Path(__file__).parents[3] / "shared" / "realfiles" / "empad"


@pytest.mark.skipif(not REAL.is_dir(), reason="files of detectors are not here")
def test_a_file_of_a_detector():
    reader = open_counts(REAL / "map4x4.xml")
    values = reader.read((0, 4), (0, 4))
    assert values.shape == (4, 4, 128, 128) and values.sum(dtype=np.float64) == 34862923776
    assert reader.about.metadata["energy_ev"] == 300e3
