"""Arguments of the public functions: NumPy's kinds work like Python's, and the rest is one line with the name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import xarray as xr
from tiny_scan import MICROSCOPE, OPTICS, N, Recorder, write_scan

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask import _arguments as arguments
from ptychodask.io.dataset import dataset_info
from ptychodask.io.seal import RESERVED

COUNTS = np.random.default_rng(0).integers(0, 5, (4, 4, N, N)).astype(np.uint8)


def create(path: Any, counts: Any = COUNTS, **options: Any) -> Path:
    return ptychodask.create_dataset(path, counts, **{**OPTICS, "scan_step_angstrom": 1.0, **options})


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (4, 4))


class Opaque:
    """Something to call whose signature is wrong, as that of some compiled functions is missing."""

    __signature__ = "(no, signature"

    def __call__(self, *values: Any) -> None:
        pass


def refused(call: Callable[[], Any], *names: str) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    assert all(name in text for name in names), text
    return text


@pytest.mark.parametrize(
    "value",
    [lambda event, values: None, lambda *values: None, lambda event, values, more=1: None, print, Mock(), dict.update,
     functools.partial(lambda a, event, values: None, 1), Recorder(), Opaque(), None],
)  # fmt: skip
def test_functions_that_can_be_called(value):
    """Also those of which nobody knows what they take."""
    assert arguments.function(value, "progress", ("event", "values")) is value


def test_a_function_of_other_arguments_is_told_which():
    text = refused(lambda: arguments.function(lambda event: 0, "progress", ("event", "values")), "progress")
    assert "too many positional arguments" in text and "2 arguments (event, values)" in text


# -- the kinds -----------------------------------------------------------------------------------------------------

NUMBERS = [3, 3.0, np.int64(3), np.uint8(3), np.float32(3), np.array(3), np.array(3.0), Fraction(3), xr.DataArray(3.0)]
NO_NUMBERS = [
    "3", "300e3", True, np.True_, np.array(True), None, float("nan"), np.nan, np.inf, 3j, np.complex64(3), [3.0],
    np.array([3.0]), np.array("3"), {}, object(), np.ma.masked, 10**400,
]  # fmt: skip


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers(value):
    for found, kind in ((arguments.number(value, "x", "it"), float), (arguments.whole(value, "x", "it"), int)):
        assert found == 3 and type(found) is kind


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: f"{type(value).__name__}-{str(value)[:10]}")
def test_no_numbers(value):
    for convert in (arguments.number, arguments.whole):
        assert refused(lambda convert=convert: convert(value, "size", "it in mm"), "it in mm").startswith("size = ")


def test_a_quantity_would_lose_its_unit():
    class Quantity(np.ndarray):
        unit = "keV"

    refused(lambda: arguments.number(np.array(300.0).view(Quantity), "energy_ev", "eV"), "energy_ev")
    refused(lambda: arguments.pair(np.ones(2).view(Quantity), "step", "angstrom"), "step")


@pytest.mark.parametrize("value", [(1, 2), [1, 2], np.array([1, 2]), np.array([1.0, 2.0]), (np.int8(1), np.array(2))])
def test_pairs(value):
    found = arguments.whole_pair(value, "x", "it")
    assert found == arguments.pair(value, "x", "it") == (1, 2) and {type(n) for n in found} == {int}


@pytest.mark.parametrize(
    "value", [4, "44", (1,), (1, 2, 3), np.ones(3), np.ones((1, 2)), [[1, 2], [3, 4]], None, {1, 2}]
)
def test_no_pairs(value):
    refused(lambda: arguments.pair(value, "chunks", "it"), "chunks")


@pytest.mark.parametrize("value", [3, None, b"scan.zarr", "", "a\0b", ["scan.zarr"], np.ones(3)])
def test_no_paths(value):
    refused(lambda: arguments.path(value, "output"), "output")


def test_numpy_in_what_json_keeps():
    given = {"a": np.float32(0.5), "b": (np.int8(1), [np.bool_(True)]), "c": {"d": np.arange(3)}, "e": Path("x")}
    assert arguments.plain(given, "x") == {"a": 0.5, "b": [1, [True]], "c": {"d": [0, 1, 2]}, "e": "x"}
    for bad in (np.nan, 3j, object(), np.array([1.0, np.inf]), np.datetime64("2020-01-01")):
        refused(lambda bad=bad: arguments.plain({"scale": [bad]}, "attributes"), "attributes['scale'][0]")
    refused(lambda: arguments.plain({"a": {1: 2}}, "attributes"), "attributes['a']", "key")


# -- create_dataset and simulate -----------------------------------------------------------------------------------


def test_a_dataset_from_numpys_kinds_is_the_same(tmp_path):
    first = dataset_info(create(tmp_path / "plain.zarr", aberrations={"C30": 1e6}, chunks=(2, 2), attributes={"a": 1}))
    values = {name: np.array(value) for name, value in OPTICS.items()}
    values |= {"scan_step_angstrom": np.array([1.0, 1.0]), "chunks": np.array([2, 2]), "mask": np.ones((N, N)).tolist()}
    values |= {"aberrations": {"C30": np.float32(1e6)}, "attributes": {"a": np.int64(1)}, "overwrite": np.False_}
    second = dataset_info(create(str(tmp_path / "numpy.zarr"), **values))
    assert first.fingerprint == second.fingerprint
    assert first.attributes == second.attributes


PHASE = xr.DataArray(np.ones((3, 4)), {"y": [0.0, 1, 2], "x": [0.0, 1, 2, 3]}, ("y", "x"), name="phase")
NO_TRUTHS = [
    PHASE,
    xr.Dataset(),
    xr.Dataset({"potential": PHASE}),
    xr.Dataset({"phase": PHASE.drop_vars("x")}),
    xr.Dataset({"phase": PHASE.T}),
    xr.Dataset({"phase": PHASE.expand_dims("slice")}),
    xr.Dataset({"phase": PHASE.astype(complex)}),
    xr.Dataset({"phase": PHASE.assign_coords(x=list("abcd"))}),
    xr.Dataset({"phase": PHASE, "note": xr.DataArray(np.array([None, {}], object), dims="n")}),
]


BAD_CREATE = {
    "energy_ev": ["300e3", True, 300, np.array([300e3])],
    "semi_angle_mrad": ["12", 0.012],
    "defocus_angstrom": [1j, 1e-8, 1e7, None],
    "angular_step_mrad": [4.7e-4, [0.5, 0.5]],
    "scan_step_angstrom": [np.array([1.0, 1.0, 1.0]), 1e-10, 105.0, (1.0, 1e-4), "1", (1.0, True), -1.0],
    "aberrations": [3, ["C30"], {30: 1.0}],
    "C30": [{"C30": "1e7"}, {"C30": 1e-3}],
    "phi12": [{"C12": 20.0, "phi12": 200.0}, {"phi12": 0.4}],
    "C12": [{"C12": 2e-9}],
    "positions_angstrom": [np.ones((4, 4, 2), complex), "raster", [[1], [1, 2]], np.ones((4, 4))],
    "mask": ["all", np.full((N, N), np.nan), np.ones((N, N), complex), np.ones(N)],
    "truth": [{"phase": 1}, "truth.zarr", np.ones((9, 9)), *NO_TRUTHS],
    "chunks": [4, "4", (4,), (4.5, 4), (0, 4), (True, 4)],
    "attributes": [[("a", 1)], {"a": object()}, {"thickness_angstrom": "34"}, {"thickness_angstrom": -1}],
    "overwrite": ["no", 1],
}


@pytest.mark.parametrize("name", BAD_CREATE)
def test_what_create_dataset_refuses(tmp_path, name):
    argument = "aberrations" if name[0] in "Cp" and name[1:3] != "os" and name != "chunks" else name
    for value in BAD_CREATE[name]:
        refused(lambda value=value: create(tmp_path / "scan.zarr", **{argument: value}), name)
    refused(lambda: create(3), "path")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_truth_is_told_what_is_expected(tmp_path):
    for value in NO_TRUTHS[:-1]:
        text = refused(lambda value=value: create(tmp_path / "scan.zarr", truth=value), "truth")
        assert "phase (y, x) in rad" in text and "angstrom" in text
    path = create(tmp_path / "scan.zarr", truth=PHASE.to_dataset(name="phase"))
    xr.testing.assert_equal(ptychodask.read_truth(path).phase, PHASE)


@pytest.mark.parametrize("given", [COUNTS.tolist(), 3, xr.Dataset({"counts": 1}), COUNTS.astype(complex)])
def test_what_are_no_counts(tmp_path, given):
    refused(lambda: create(tmp_path / "scan.zarr", given), "counts")


@pytest.mark.parametrize("name", RESERVED)
def test_attributes_cannot_say_what_a_dataset_says_of_itself(tmp_path, name):
    refused(lambda: create(tmp_path / "scan.zarr", attributes={name: 1.0, "note": "a"}), name, "leave it out")
    assert list(tmp_path.iterdir()) == []


def test_copied_attributes_are_told_which_to_leave_out(tmp_path, scan):
    written = {
        "scan_affine": [[1, 0, 0], [0, 1, 0]],
        "disk_centre": [[8, 0, 0], [8, 0, 0]],
        "row_drift": [],
        "calibration": {},
    }
    # by ptychodask.calibrate
    copied = ptychodask.open_dataset(scan).attrs | written | {"note": "binned"}
    text = refused(lambda: create(tmp_path / "scan.zarr", attributes=copied), *RESERVED)
    named = text.split("hold ")[1].split(", which")[0].split(", ")
    path = create(tmp_path / "scan.zarr", attributes={k: v for k, v in copied.items() if k not in named})
    info = dataset_info(path)
    assert info.attributes["note"] == "binned" and info.attributes["energy_ev"] == 300e3
    assert set(RESERVED) - set(info.attributes) == {"path", *written}


def test_one_defocus(tmp_path):
    text = refused(lambda: create(tmp_path / "scan.zarr", aberrations={"C10": -300.0}), "C10", "defocus_angstrom")
    assert "defocus_angstrom = 300" in text
    path = create(tmp_path / "scan.zarr", aberrations={"C10": -100.0, "C30": 1e6})
    assert dataset_info(path).microscope.aberrations == {"C10": -100.0, "C30": 1e6}


BAD_SIMULATE = {
    "material": [3, b"zif-8"],
    "thickness_angstrom": ["34", np.inf],
    "scan_shape": [48, (48, 48, 1), (0, 4), (4.5, 4)],
    "scan_step_angstrom": [1e-10, 105.0, (1.0, 1.0, 1.0)],
    "detector_pixels": [32.5, True],
    "dose_per_square_angstrom": ["100", 0, np.nan, True, 1e9],
    "seed": [-1, 1.5, "3", 2**64],
    "tilt_mrad": [3.0, (1, 2, 3), (np.nan, 0)],
    "phonons": [-1, 1.5],
    "aberrations": [{"C10": -50.0}],
    "chunks": [4, (2, 2, 2)],
    "client": [3, {"workers": 2}],
    "workers": [0, "2", True],
    "overwrite": ["no"],
    "progress": [5, lambda label: None, lambda label, done, of, *, more: None],
}


@pytest.mark.parametrize("name", BAD_SIMULATE)
def test_what_simulate_refuses_before_it_computes(tmp_path, name, monkeypatch):
    monkeypatch.setattr("ptychodask.simulation.run.connect", lambda **kwargs: pytest.fail("a cluster was started"))
    for value in BAD_SIMULATE[name]:
        options = {"scan_shape": (4, 4), "defocus_angstrom": 100.0, name: value}
        material = options.pop("material", "zif-8")
        refused(lambda m=material, o=options: ptychodask.simulate(tmp_path / "scan.zarr", m, **o), name)
    assert list(tmp_path.iterdir()) == []


def test_simulate_takes_numpys_kinds(tmp_path):
    pytest.importorskip("abtem")
    path = ptychodask.simulate(
        str(tmp_path / "scan.zarr"), "zif-8", thickness_angstrom=np.float32(17), scan_shape=np.array([2, 2]),
        scan_step_angstrom=np.array([0.9, 0.9]), tilt_mrad=np.array([1.0, 2.0]), seed=np.int64(3), phonons=np.int32(0),
        detector_pixels=np.int16(32), angular_step_mrad=np.array(1.0), defocus_angstrom=np.int64(100),
        slice_thickness_angstrom=np.float64(8), chunks=[1, 2],
    )  # fmt: skip
    info = dataset_info(path)
    assert (info.attributes["seed"], info.attributes["tilt_mrad"]) == (3, [1.0, 2.0])
    assert info.scan_step == (0.9, 0.9) and info.shard == (1, 2)


# -- the other functions -------------------------------------------------------------------------------------------


def test_info_and_plan_take_datasets_and_dictionaries(scan):
    data, job = ptychodask.open_dataset(scan), {"probe": {"modes": np.int64(2)}}
    assert ptychodask.info(data) == ptychodask.info(scan) == ptychodask.info(str(scan), {})
    assert ptychodask.info(data, job).redundancy < ptychodask.info(scan).redundancy
    assert ptychodask.plan(data, job, calibrate=False).footprint.config.probe.modes == 2


@pytest.mark.parametrize("name", ["info", "plan", "reconstruct"])
def test_what_is_no_dataset_or_job(scan, name):
    function = getattr(ptychodask, name)
    for data in (COUNTS, 3, None, ptychodask.open_dataset(scan).counts):
        refused(lambda data=data: function(data), "data")
    for config in (3, ["a"], {"solver": 3}, {"solver": {"iterations": COUNTS}}):
        refused(lambda config=config: function(scan, config), "config" if not isinstance(config, dict) else "solver")
    if name != "info":
        for client in (3, {"workers": 2}, ["tcp://a:1"]):
            refused(lambda client=client: function(scan, {}, client), "client")


def print_one(event: str) -> None:
    print(event)  # noqa: T201


BAD_CALLS: dict[str, list[Callable[[Path], Any]]] = {
    "output": [
        lambda scan: ptychodask.reconstruct(scan, output=3),
        lambda scan: ptychodask.resume(3),
        lambda scan: ptychodask.report(scan, 3),
        lambda scan: ptychodask.export(scan, None),
    ],
    "overwrite": [
        lambda scan: ptychodask.reconstruct(scan, overwrite="no"),
        lambda scan: ptychodask.export(scan, "a.tif", overwrite="no"),
        lambda scan: ptychodask.calibrate(scan, overwrite="no"),
    ],
    "write": [lambda scan: ptychodask.calibrate(scan, write="no")],
    "workers": [lambda scan: ptychodask.calibrate(scan, workers=0)],
    "slices": [lambda scan: ptychodask.export(scan, "a.tif", slices=3)],
    "calibrate": [lambda scan: ptychodask.plan(scan, calibrate="no")],
    "progress": [
        lambda scan: ptychodask.reconstruct(scan, progress=5),
        lambda scan: ptychodask.reconstruct(scan, progress=object()),
        lambda scan: ptychodask.reconstruct(scan, progress=[print_one, "bar"]),
        lambda scan: ptychodask.resume("result.zarr", progress=lambda: None),
        lambda scan: ptychodask.reconstruct(scan, progress=lambda event, values, more: None),
    ],
    "engine": [lambda scan: ptychodask.resume("result.zarr", engine=4)],
    "output=...": [
        lambda scan: ptychodask.reconstruct(scan, {}, "r.zarr"),
        lambda scan: ptychodask.reconstruct(scan, {}, Path("folder/r.zarr")),
        lambda scan: ptychodask.calibrate(scan, "C:\\folder\\page.png"),
    ],
    "client": [lambda scan: ptychodask.resume("result.zarr", 4)],
    "result": [lambda scan: ptychodask.report(COUNTS), lambda scan: ptychodask.export(3, "a.tif")],
    "path": [
        lambda scan: ptychodask.open_dataset(COUNTS),
        lambda scan: ptychodask.open_result(3),
        lambda scan: ptychodask.read_truth(None),
    ],
    "config": [lambda scan: ptychodask.doctor(3), lambda scan: JobConfig.parse(3)],  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_wrong_kinds_are_named(scan, name):
    for call in BAD_CALLS[name]:
        refused(lambda call=call: call(scan), name)


def test_jobs_take_numpys_kinds():
    job = JobConfig.parse(
        {
            "object": {"slices": np.int64(2), "tilt_mrad": np.array([1, 2]), "positivity": np.False_},
            "solver": {"iterations": np.array(7), "validation_fraction": np.float32(0.25)},
            "engine": {"block": np.array([4, 4]), "tls_ca_file": Path("a"), "tls_cert": "b", "tls_key": "c",
                       "scheduler": "tls://a:1"},
        }
    )  # fmt: skip
    plain = {"object": {"slices": 2, "tilt_mrad": [1, 2], "positivity": False}, "engine": {"block": (4, 4)}}
    plain["solver"] = {"iterations": 7, "validation_fraction": 0.25}
    plain["engine"] |= {"tls_ca_file": "a", "tls_cert": "b", "tls_key": "c", "scheduler": "tls://a:1"}
    assert job == JobConfig.parse(plain)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"solver": {"iterations": True}}, "solver.iterations = True"),
        ({"object": {"blur_angstrom": 3j}}, "object.blur_angstrom = 3j"),
        ({"solver": {"iterations": np.ones((3, 3))}}, "solver.iterations"),
        ({"solver": {"validation_fraction": 0}}, "fraction = 0: input should be greater than 0, or none"),
        ({"object": {"thickness_angstrom": -1}}, "or none"),
        ({3: {}}, "config"),
    ],
)  # fmt: skip
def test_what_jobs_refuse(values, told):
    refused(lambda: JobConfig.parse(values), told)


@pytest.mark.parametrize("defocus", [6e-8, -1e8])
def test_the_defocus_of_a_job_has_the_same_bounds(scan, defocus):
    refused(lambda: ptychodask.info(scan, {"probe": {"defocus_angstrom": defocus}}), "probe.defocus_angstrom")


def test_bounds_hold_for_stores_too(tmp_path):
    import zarr

    for name, value in {"scan_step_angstrom": [1e-10, 1e-10], "semi_angle_mrad": 0.012, "energy_ev": "300e3",
                        "aberrations": {"C10": -100.0, "C12": 20.0, "phi12": 200.0}}.items():  # fmt: skip
        path = create(tmp_path / f"{name}.zarr")
        zarr.open_group(str(path), mode="r+").attrs[name] = value
        refused(lambda path=path: dataset_info(path), "phi12" if name == "aberrations" else name)


def test_steps_as_wide_as_the_box_are_the_widest(tmp_path):
    box = MICROSCOPE.wavelength / (OPTICS["angular_step_mrad"] * 1e-3)
    create(tmp_path / "scan.zarr", scan_step_angstrom=(0.999 * box, 1.0))
    refused(lambda: create(tmp_path / "other.zarr", scan_step_angstrom=(1.0, 1.001 * box)), "scan_step_angstrom", "box")
