"""Results: open them, read them lazily, and say in one line why that is not possible."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import metadata

import numpy as np
import pytest
import zarr

from ptychodask import InputError, JobConfig, PtychodaskWarning, open_result
from ptychodask.io.checkpoint import RunFolder
from ptychodask.io.result import Entry, History, Result, write_result
from ptychodask.model.scan import Canvas
from ptychodask.model.state import Model

CANVAS = Canvas((12, 14), 0.5, (-3.0, 10.0))
ENTRIES = [
    {"iteration": 1, "stage": "fit", "updates": 1, "loss": 2.5, "validation": 0.1 + 0.2, "seconds": 1.0},
    {"iteration": 2, "stage": "fit", "updates": 2, "loss": 2.0, "validation": 0.25, "seconds": 0.5},
    {"iteration": 3, "stage": "finish", "updates": 2, "loss": 1.5, "validation": float("nan"), "seconds": 0.5},
]


def model(kind="phase"):
    rng = np.random.default_rng(0)
    object_ = rng.standard_normal((2, 12, 14)).astype(np.float32)
    if kind == "complex":
        object_ = (3 * object_ + 0.1j).astype(np.complex64)
    probe = (rng.standard_normal((2, 8, 8)) + 1j).astype(np.complex64)
    return Model(object_, probe)


def write(path, kind="phase", entries=ENTRIES, overwrite=False):
    attributes = {"iteration": 2, "stopped_because": "test"}
    write_result(
        path,
        model(kind),
        np.array([[6.0, 6.0], [6.0, 8.0]]),
        CANVAS,
        (1, 2),
        JobConfig(),
        entries,
        attributes,
        overwrite,
    )
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Result:
    return open_result(write(tmp_path_factory.mktemp("result") / "r.zarr"))


def test_arrays_come_back_with_names_and_units(result):
    assert result.object.dims == ("slice", "y", "x") and result.probe.dims == ("mode", "probe_y", "probe_x")
    np.testing.assert_array_equal(result.object.values, model().object)
    np.testing.assert_array_equal(result.probe.values, model().probe)
    assert result.object.attrs["units"] == "rad" and result.object.y.attrs["units"] == "angstrom"
    np.testing.assert_allclose(result.object.y.values, -3.0 + 0.5 * np.arange(12))
    np.testing.assert_allclose(result.object.x.values, 10.0 + 0.5 * np.arange(14))
    np.testing.assert_allclose(result.probe.probe_y.values, 0.5 * (np.arange(8) - 4))


def test_positions_are_in_angstrom_again(result):
    assert result.positions.dims == ("scan_y", "scan_x", "axis")
    np.testing.assert_allclose(result.positions.values, [[[0.0, 13.0], [0.0, 14.0]]])


def test_the_phase_is_summed_over_the_slices(result, tmp_path):
    np.testing.assert_allclose(result.phase.values, model().object.sum(axis=0), rtol=1e-6)
    assert result.phase.dims == ("y", "x") and result.phase.attrs["units"] == "rad"
    np.testing.assert_array_equal(result.phase.y.values, result.object.y.values)
    other = open_result(write(tmp_path / "c.zarr", "complex"))
    assert other.object.attrs["kind"] == "complex phase"
    np.testing.assert_allclose(other.phase.values, model("complex").object.real.sum(axis=0), rtol=1e-5)


def test_a_transmission_of_an_earlier_version_is_read_as_a_phase(tmp_path):
    path = write(tmp_path / "c.zarr", "complex")
    stored = zarr.open_group(path)["object"]
    stored[...] = 0.9 * np.exp(0.3j * model().object)
    stored.attrs["kind"] = "transmission"
    found = open_result(path)
    np.testing.assert_allclose(found.object.values, 0.3 * model().object - 1j * np.log(0.9), atol=1e-5)
    np.testing.assert_allclose(found.phase.values, 0.3 * model().object.sum(axis=0), atol=1e-5)


def test_configuration_and_attributes(result):
    assert result.config == JobConfig()
    assert result.iteration == 2 and result.attributes["stopped_because"] == "test"


def test_history_is_read_by_number_name_and_attribute(result):
    history = result.history
    assert len(history) == 3
    assert history[-1].loss == 1.5 and history[0]["seconds"] == 1.0 and history[1].stage == "fit"
    assert history[-1].stage == "finish" and np.isnan(history[-1].validation)
    assert history[0].validation == 0.1 + 0.2
    np.testing.assert_array_equal(history["loss"], [2.5, 2.0, 1.5])
    np.testing.assert_array_equal(history["iteration"], [1, 2, 3])
    assert [entry.updates for entry in history] == [1, 2, 2]
    assert [entry.loss for entry in history[1:]] == [2.0, 1.5]
    assert set(history.columns) == {"iteration", "stage", "updates", "loss", "validation", "seconds"}
    assert list(history["stage"]) == ["fit", "fit", "finish"]
    assert isinstance(history[0].iteration, int) and isinstance(history[0].loss, float)


def test_a_history_is_a_table_of_xarray_for_who_wants_one(result):
    table = result.history.to_xarray()
    assert table.sizes == {"iteration": 3} and set(table.variables) == set(result.history.columns)
    assert table.loss.sel(iteration=2).item() == 2.0 and table.stage.values.tolist() == ["fit", "fit", "finish"]
    for name in result.history.columns:
        np.testing.assert_array_equal(table[name], result.history[name])


def test_what_a_history_lacks_is_an_ordinary_error(result):
    with pytest.raises(AttributeError, match="speed"):
        _ = result.history[0].speed
    with pytest.raises(KeyError):
        _ = result.history["speed"]
    with pytest.raises(IndexError):
        _ = result.history[3]


def test_an_empty_history(tmp_path):
    empty = open_result(write(tmp_path / "r.zarr", entries=[]))
    assert len(empty.history) == 0 and empty.history.columns == []
    assert list(History([])) == [] and not empty.history.to_xarray()


def test_entries_are_copies():
    source = {"loss": 1.0}
    history = History([source])
    source["loss"] = 2.0
    assert history[0].loss == 1.0 and isinstance(history[0], Entry)


def test_a_text_says_what_it_is(result, tmp_path):
    assert repr(result) == f"Result({result.path!r}, 2 slices of 12 x 14 pixels, 2 modes, iteration 2)"
    assert "cannot be read" in repr(Result(str(tmp_path / "gone.zarr")))


@pytest.mark.parametrize("how", ["plot", "imshow", "pcolormesh"])
def test_plots_of_the_phase_have_row_0_on_top(result, how):
    """As the report has it, and as viewers show a TIFF."""
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    (result.phase.plot if how == "plot" else getattr(result.phase.plot, how))(ax=ax)
    bottom, top = ax.get_ylim()
    assert top < bottom
    up = Figure().add_subplot()
    result.phase[2:].plot(ax=up, yincrease=True)  # whoever wants it the other way says so
    assert np.diff(up.get_ylim()) > 0


def test_a_result_draws_itself_on_given_axes_in_angstrom(result):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert result.plot(ax, vmin=-0.1) is ax
    bottom, top = ax.get_ylim()
    left, right = ax.get_xlim()
    step = float(result.phase.y[1] - result.phase.y[0])
    assert bottom - top == pytest.approx(12 * step) and right - left == pytest.approx(14 * step)
    (image,) = ax.get_images()
    assert image.get_clim()[0] == -0.1 and ax.get_aspect() == 1.0 and image.get_cmap().name == "gray"


def test_opening_reads_no_arrays(tmp_path):
    path = write(tmp_path / "r.zarr")
    for name in ("object", "probe"):
        chunk = next(p for p in (path / name / "c").rglob("*") if p.is_file())
        chunk.write_bytes(b"damaged")
    opened = open_result(path)
    assert opened.iteration == 2 and len(opened.history) == 3
    with pytest.raises(Exception):  # noqa: B017
        _ = opened.object.values


def test_a_missing_result(tmp_path):
    with pytest.raises(InputError, match="does not exist: give the path of a result"):
        open_result(tmp_path / "none.zarr")


def test_an_interrupted_run_is_named_with_its_remedy(tmp_path):
    target = tmp_path / "r.zarr"
    RunFolder.of(target).claim({}, overwrite=False)
    with pytest.raises(InputError, match=r"interrupted: 'ptychodask resume .*r\.zarr'"):
        open_result(target)


def test_other_folders_and_schemas_are_refused(tmp_path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match="is not a Zarr group"):
        open_result(tmp_path / "plain")
    (tmp_path / "text").write_text("no result")
    with pytest.raises(InputError):
        open_result(tmp_path / "text")
    zarr.create_group(str(tmp_path / "other.zarr")).attrs.update({"schema": "ptychodask-dataset/1"})
    with pytest.raises(InputError, match="expected 'ptychodask-result/1': it is a dataset, 'ptychodask reconstruct"):
        open_result(tmp_path / "other.zarr")
    zarr.create_group(str(tmp_path / "none.zarr"))
    with pytest.raises(InputError, match="has schema None"):
        open_result(tmp_path / "none.zarr")


@pytest.mark.parametrize("name", ["object", "probe", "positions"])
def test_an_array_whose_description_is_cut_off_is_one_line(tmp_path, name):
    description = write(tmp_path / "r.zarr") / name / "zarr.json"
    description.write_bytes(description.read_bytes()[:100])
    with pytest.raises(InputError, match=r"r\.zarr is damaged \(.*\): copy it again"):
        open_result(tmp_path / "r.zarr")


def test_a_result_is_whole_or_absent(tmp_path, monkeypatch):
    import xarray

    def fail(self, *arguments, **options):
        if options.get("group") == "history":
            raise OSError("disk full")
        return original(self, *arguments, **options)

    original = xarray.Dataset.to_zarr
    monkeypatch.setattr(xarray.Dataset, "to_zarr", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "r.zarr")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    write(tmp_path / "r.zarr")
    with pytest.raises(InputError, match="exists"):
        write(tmp_path / "r.zarr", "complex")
    assert open_result(tmp_path / "r.zarr").object.dtype == np.float32
    write(tmp_path / "r.zarr", "complex", overwrite=True)
    assert open_result(tmp_path / "r.zarr").object.dtype == np.complex64


def edited(path, **attributes):
    """Change attributes of a result."""
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"].update(attributes)
    (path / "zarr.json").write_text(json.dumps(document))
    return path


def test_options_of_a_later_version_are_left_out_with_a_warning_that_names_both(tmp_path):
    later = {**JobConfig().model_dump(mode="json"), "annealing": {"on": True}}
    later["solver"] = {**later["solver"], "iterations": 7, "cooling": 0.5}
    versions = json.dumps({"ptychodask": "9.8.7"})
    path = edited(write(tmp_path / "r.zarr"), config=json.dumps(later), versions=versions)
    here = metadata.version("ptychodask")
    with pytest.warns(PtychodaskWarning, match=rf"ptychodask 9\.8\.7 .* {here} .*left out: solver\.cooling, annealing"):
        config = open_result(path).config
    assert config == JobConfig.parse({"solver": {"iterations": 7}})
    with pytest.raises(InputError, match=r"unknown option solver\.cooling"):
        JobConfig.parse({"solver": {"cooling": 0.5}})
    with pytest.raises(InputError, match=r"did you mean solver\.iterations"):
        JobConfig.load(overrides=["solver.iteration=3"])


def test_a_result_of_a_later_schema_is_refused(tmp_path):
    path = edited(write(tmp_path / "r.zarr"), schema="ptychodask-result/2")
    with pytest.raises(InputError, match=r"r\.zarr was written by a newer version .*update ptychodask"):
        open_result(path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"config": "[]"}, "the configuration is no JSON object"),
        ({"config": "{"}, "the configuration is no JSON"),
        ({"config": '{"solver": {"iterations": -1}}'}, r"configuration, of version .*: solver\.iterations = -1"),
        ({"config": 5}, r"zarr\.json: config = 5"),
        ({"iteration": "2"}, r"zarr\.json: iteration = '2'"),
        ({"versions": "[1]"}, "versions by name"),
        ({"dose_per_square_angstrom": -1.0}, r"dose_per_square_angstrom = -1\.0"),
    ],
)
def test_damaged_attributes_are_one_line(tmp_path, attributes, message):
    path = edited(write(tmp_path / "r.zarr"), **attributes)
    with pytest.raises(InputError, match=message) as caught:
        _ = open_result(path).config
    assert str(caught.value).isprintable() and str(path) in str(caught.value)


READERS = {
    "object": lambda r: r.object.values,
    "probe": lambda r: r.probe.values,
    "positions": lambda r: r.positions.values,
    "y": lambda r: r.phase,
    "history/loss": lambda r: r.history,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("harm", ["flip", "cut", "lose"])
def test_damaged_values_are_one_line_and_never_wrong_numbers(tmp_path, name, harm):
    path = write(tmp_path / "r.zarr")
    chunk = next(p for p in (path / name / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x10
    if harm == "lose":
        chunk.unlink()
    else:
        chunk.write_bytes(content if harm == "flip" else content[: len(content) // 2])
    if (name, harm) == ("history/loss", "lose"):
        # older versions left such columns out; where xarray fills with zeros, it is one line
        with suppress(InputError):
            assert np.isnan(open_result(path).history["loss"]).all()
        return
    with pytest.raises(InputError, match=r"r\.zarr.*(copy it again|reconstruct again)") as caught:
        READERS[name](open_result(path))
    assert str(caught.value).isprintable()
