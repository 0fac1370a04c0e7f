"""What was done to an opened Dataset is used or refused, and never passed over."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from tiny_scan import write_scan

from ptychodask import InputError, info, open_dataset, plan
from ptychodask.counts.events import Events, write_dense
from ptychodask.io import opened
from ptychodask.io.opened import asked_for
from ptychodask.io.selected import mask_of, positions_of
from ptychodask.io.source import source_of
from ptychodask.model.blocks import Block, make_blocks

SCAN = (9, 12)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Shards of 4 x 6 in chunks of 4 x 6 and 8 x 6: ragged at the rim."""
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", SCAN, chunks=(4, 6))


def asked(data, check):
    with asked_for(data, data.attrs["path"]) as found:
        return check(found)


def counts_of(found):
    """All counts as blocks give them, centred, in the selection's order."""
    source, n = pickle.loads(pickle.dumps(source_of(found))), found.detector.pixels  # as it travels to workers
    counts = np.empty((found.scan_shape[0] * found.scan_shape[1], n, n), found.dtype)
    sides = found.shard if found.selection is None else found.selection.stored_sides(found.shard)
    for block in make_blocks(found.scan_shape, sides, (), found.selection):
        for strip in block.strips(source.rows):
            counts[strip.flat(found.scan_shape)] = source.dense(strip)
            if isinstance(direct := source.read(strip), Events):
                events, direct = direct, np.empty((strip.size, n, n), found.dtype)
                write_dense(events, direct)
            np.testing.assert_array_equal(direct, counts[strip.flat(found.scan_shape)])
    return np.fft.fftshift(counts, axes=(-2, -1)).reshape(*found.scan_shape, n, n)


SELECTED = {
    "all": lambda d: d,
    "all of it": lambda d: d.isel(scan_y=slice(0, 9)).sel(scan_x=range(12)),
    "slices": lambda d: d.isel(scan_y=slice(2, 7), scan_x=slice(5, None)),
    "sel": lambda d: d.sel(scan_y=slice(2, 7), scan_x=slice(0, 3)),
    "strides": lambda d: d.isel(scan_y=slice(1, None, 2), scan_x=slice(None, None, 5)),
    "one row": lambda d: d.isel(scan_y=[4]),
    "a list": lambda d: d.isel(scan_x=[0, 1, 5, 6, 11]),
    "one after the other": lambda d: d.isel(scan_x=slice(1, 11)).isel(scan_y=slice(3)),
    "backwards": lambda d: d.isel(scan_x=slice(None, None, -1), scan_y=[7, 5, 0]),
    "persisted": lambda d: d.isel(scan_y=slice(1, 4)).persist(),
    "loaded": lambda d: d.isel(scan_y=slice(1, 4)).load(),
    "chunked": lambda d: d.chunk(scan_x=4).isel(scan_x=slice(1, None)),
    "twice": lambda d: d.isel(scan_y=slice(1, 9)).isel(scan_y=slice(None, None, 3)),
    "condition": lambda d: d.isel(scan_y=(d.scan_y % 3 == 1).values),
    "pickled copy": lambda d: pickle.loads(pickle.dumps(d.copy(deep=True))),
    "more variables": lambda d: d.assign(field=d.counts.sum(("ky", "kx"))).isel(scan_y=slice(4)),
}


@pytest.mark.parametrize("way", SELECTED)
def test_what_is_selected_is_what_is_read(scan, way):
    data = SELECTED[way](open_dataset(scan))

    def check(found):
        assert found.scan_shape == (data.sizes["scan_y"], data.sizes["scan_x"])
        assert (found.selection is None) == (way in ("all", "all of it", "pickled copy"))
        np.testing.assert_array_equal(counts_of(found), data.counts.values)
        np.testing.assert_array_equal(positions_of(found), data.positions.values.reshape(-1, 2))

    asked(data, check)


@pytest.mark.parametrize("way", ["all", "slices", "sel", "strides", "one row", "a list", "one after the other"])
def test_counts_of_what_was_only_selected_are_not_looked_at(scan, way, monkeypatch):
    data = SELECTED[way](open_dataset(scan))
    monkeypatch.setattr(da.Array, "any", None)  # with which values are compared
    assert asked(data, lambda found: found.scan_shape) == (data.sizes["scan_y"], data.sizes["scan_x"])


def test_own_mask_and_positions_are_used(scan):
    data = open_dataset(scan).isel(scan_y=slice(2, 8, 2))
    data["mask"][3:5, :] = 0
    moved = data.positions.values * [1.1, 0.9]
    data["positions"] = data.positions.dims, moved
    asked(data, lambda found: np.testing.assert_array_equal(np.fft.fftshift(mask_of(found)), data.mask.values))
    asked(data, lambda found: np.testing.assert_array_equal(positions_of(found), moved.reshape(-1, 2)))
    assert asked(data, lambda found: found.scan_step) == pytest.approx((2.2, 0.9))
    # transposed by label, another type, or the same values: nothing is changed
    same = open_dataset(scan).assign(mask=data.mask.T * 0 + 3.5, positions=open_dataset(scan).positions.load())
    assert asked(same, lambda found: found.selection) is None
    swapped = open_dataset(scan).isel(axis=[1, 0])
    assert asked(swapped, lambda found: found.selection) is None


def attribute(**changes):
    return lambda d: d.assign_attrs(**changes)


def edited(name, change):
    return lambda d: d.assign({name: change(d[name])})


def aberrations(d):
    d.attrs["aberrations"]["C30"] = 1e6
    return d


def without_angle(d):
    del d.attrs["semi_angle_mrad"]
    return d


def counts_in_place(d):
    d["counts"][0, 0, 0, 0] = 9
    return d


def in_memory(d):
    d = d.isel(scan_y=slice(4)).load()
    d["counts"].values[2, 3, 7, 7] += 1
    return d


REFUSED = {
    "scaled counts": (edited("counts", lambda c: (c * 2).astype(c.dtype)), "counts .* not those of the store"),
    "clipped counts": (edited("counts", lambda c: c.clip(0, 1).astype(c.dtype)), "counts .* not those of the store"),
    "counts in place": (counts_in_place, "counts .* not those of the store"),
    "counts in memory": (in_memory, "counts .* not those of the store"),
    "flipped patterns": (edited("counts", lambda c: c.copy(data=c.data[..., ::-1])), "counts .* not those of"),
    "rolled scan": (lambda d: d.roll(scan_x=1), "counts .* not those of the store"),
    "other coordinates": (lambda d: d.assign_coords(scan_x=d.scan_x[::-1].values), "counts .* not those of the store"),
    "another type": (lambda d: d.astype("float32"), "type float32 is not uint8"),
    "cut detector": (lambda d: d.isel(ky=slice(4, 28), kx=slice(4, 28)), "ky was cut or binned to 24 of 32 pixels"),
    "binned detector": (lambda d: d.coarsen(kx=2).sum().astype("uint8"), "kx was cut or binned to 16 of 32"),
    "detector backwards": (lambda d: d.isel(ky=slice(None, None, -1)), "ky has other coordinates"),
    "transposed": (lambda d: d.transpose("scan_x", "scan_y", "kx", "ky", "axis"), "counts .* dimensions"),
    "one row dropped": (lambda d: d.isel(scan_y=3), r"isel\(scan_y=\[3\]\)"),
    "points": (lambda d: d.isel(scan_y=("p", [0, 1]), scan_x=("p", [0, 1])), "counts .* dimensions"),
    "no row": (lambda d: d.isel(scan_y=[]), "scan_y .* nothing is selected"),
    "shuffled": (lambda d: d.isel(scan_x=[3, 1, 2]), "scan_x .* neither rise nor fall .*sortby"),
    "a row twice": (lambda d: d.isel(scan_y=[1, 1, 2]), "scan_y .* neither rise nor fall"),
    "coordinate dropped": (lambda d: d.isel(scan_x=slice(3)).drop_vars("scan_x"), "scan_x .* was dropped"),
    "coordinate in angstrom": (lambda d: d.assign_coords(scan_x=d.scan_x * 1.05), "scan_x .* numbers of the stored"),
    "no mask": (lambda d: d.drop_vars("mask"), "mask .* dropped or renamed"),
    "empty mask": (edited("mask", lambda m: m * 0), "mask .* every detector pixel"),
    "mask of NaN": (edited("mask", lambda m: m.where(m.kx > 0)), "mask .* finite numbers"),
    "mask of the scan": (edited("mask", lambda m: m.expand_dims(scan_x=12)), "mask .* dimensions"),
    "lost position": (edited("positions", lambda p: p.where(p.scan_x > 0)), "positions .* finite numbers"),
    "another unit": (edited("positions", lambda p: (p / 10).assign_attrs(units="nm")), "units 'nm' are not 'angstrom'"),
    "energy": (attribute(energy_ev=200e3), "attribute energy_ev .* 200000.0 here and 300000.0 in the store"),
    "step": (attribute(scan_step_angstrom=np.array([2.0, 2.0])), "attribute scan_step_angstrom"),
    "aberration": (aberrations, "attribute aberrations"),
    "thickness": (attribute(thickness_angstrom=50.0), "attribute thickness_angstrom"),
    "no angle": (without_angle, "semi_angle_mrad .* 'missing'"),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_cannot_be_used_is_named(scan, way):
    change, message = REFUSED[way]
    data = change(open_dataset(scan))
    with pytest.raises(InputError, match=message) as error:
        asked(data, lambda found: None)
    assert "\n" not in str(error.value) and "create_dataset" in str(error.value)


@pytest.mark.parametrize("door", [info, lambda d: plan(d, calibrate=False)], ids=["info", "plan"])
def test_every_door_looks(scan, door):
    with pytest.raises(InputError, match="attribute energy_ev"):
        door(open_dataset(scan).assign_attrs(energy_ev=1.0))
    with pytest.raises(InputError, match="create_dataset"):  # attributes are lost on the way
        door(open_dataset(scan).drop_attrs())


def test_figures_are_those_of_the_selection(scan):
    data = open_dataset(scan)
    part = data.isel(scan_y=slice(0, 9, 2), scan_x=slice(0, 12, 3))
    whole, less = ({row[0]: row[1] for row in info(d).rows()} for d in (data, part))
    assert whole["linear overlap"] != less["linear overlap"] and whole["dose"] != less["dose"]
    planned = plan(part, calibrate=False)
    assert planned.footprint.patterns == 5 * 4
    assert planned.stored_bytes == plan(data, calibrate=False).stored_bytes
    assert planned.footprint.info.attributes["dose_per_square_angstrom"] == pytest.approx(
        data.attrs["dose_per_square_angstrom"] / 6
    )


def test_a_dataset_is_found_from_another_folder(scan, monkeypatch, tmp_path):
    monkeypatch.chdir(scan.parent)
    data = open_dataset(scan.name)
    monkeypatch.chdir(tmp_path)
    assert Path(data.attrs["path"]).is_absolute() and info(data) == info(scan)
    assert info(xr.merge([data.isel(scan_y=slice(5))], combine_attrs="override")) == info(data.isel(scan_y=slice(5)))


def test_slices_of_every_spelling_are_found_by_name(scan):
    """The ways that are tried, for any stop that gives the same rows."""
    stored = open_dataset(scan).counts
    for start, stop, step in [(0, 9, 2), (1, 9, 3), (2, 3, 1), (0, 9, 8)]:
        numbers = tuple(range(start, stop, step))
        ours = stored.isel(scan_y=slice(start, stop, step))
        assert any(opened._same_graph(ours, way) for way in opened._ways(stored, numbers, tuple(range(12))))


def test_damage_is_told_in_the_store_and_left_out_of_the_selection(scan, tmp_path):
    path = shutil.copytree(scan, tmp_path / "scan.zarr")
    file = path / "counts" / "c" / "1" / "0" / "0" / "0"  # rows 4 to 7, columns 0 to 5
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)

    def check(found):
        source, (rows, columns) = source_of(found), found.scan_shape
        assert source.damaged(Block(0, 0, rows, 0, columns)) == ((2, 4, 0, 3),)
        with pytest.raises(InputError, match=r"rows 5 to 7, columns 0 to 4 cannot be read .*c/1/0/0/0"):
            source.dense(Block(0, 0, rows, 0, columns))
        sound = Block(0, 0, rows, 0, columns).without([(2, 4, 0, 3)])
        np.testing.assert_array_equal(source.dense(sound), source_of(whole).dense(sound))

    every_second = open_dataset(path).isel(scan_y=slice(1, None, 2), scan_x=slice(0, None, 2))
    with asked_for(open_dataset(scan).isel(scan_y=slice(1, None, 2), scan_x=slice(0, None, 2)), scan) as whole:
        asked(every_second, check)
