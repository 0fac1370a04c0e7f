"""What a run says of its counts before it computes, positions that are left out, and how well the result fits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from tiny_scan import BLUR, Recorder, bits, expected_counts, write_scan

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask.io.checkpoint import RunFolder
from ptychodask.jobs.excess import Excess, excess_figures
from ptychodask.jobs.recipe import Decisions
from ptychodask.model.blocks import Block, boxes_of

SCAN = (8, 12)
JOB = {**BLUR, "solver": {"iterations": 5, "finish": 1}, "engine": {"checkpoint_every": 2}}
ODD = [(1, 2), (1, 3), (6, 11)]


def job(exclude=None, **engine):
    return {**JOB, "data": {"exclude": exclude}, "engine": {**JOB["engine"], **engine}}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("sound") / "scan.zarr", SCAN, seed=11)


@pytest.fixture(scope="module")
def misfiring(sound, tmp_path_factory):
    """Two frames with thirty times the electrons, and one without any."""
    data = ptychodask.open_dataset(sound)
    counts = data.counts.values.astype(np.uint16)
    counts[1, 2:4] *= 30
    counts[6, 11] = 0
    return rewritten(tmp_path_factory.mktemp("misfiring") / "scan.zarr", counts)


def rewritten(path, counts, **options):
    """The tiny scan with other counts."""
    write_scan(path, SCAN, **options)
    group = zarr.open_group(str(path), mode="r+")
    attributes = dict(group["counts"].attrs)
    group.create_array(
        "counts", data=np.asarray(counts), chunks=(4, 4, *counts.shape[2:]), overwrite=True,
        dimension_names=("scan_y", "scan_x", "ky", "kx"), attributes=attributes,
    )  # fmt: skip
    group.attrs["fingerprint"] = str(hash(np.nan_to_num(counts).tobytes()))
    return path


@pytest.fixture(scope="module")
def without(misfiring):
    """The run that leaves the positions out because they are listed."""
    return ptychodask.reconstruct(misfiring, job([[6, 11], *ODD[:2]]))


def test_a_sound_scan_gives_no_warning_and_fits_its_model(sound):
    seen = Recorder()
    result = ptychodask.reconstruct(sound, JOB, progress=seen)
    assert seen.warned() == []
    assert result.attributes["patterns_left_out"] == 0 and result.attributes["positions_left_out"] == "[]"
    excess, error = result.attributes["loss_excess"], result.attributes["loss_excess_error"]
    assert abs(excess) < 5 * error and 0 < error < 0.05 * result.attributes["loss_expected"]
    figures = ptychodask.report(result)
    assert figures["loss_excess"] == excess and "the data fit the model" in figures["fit"]


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ((0.3, 0.6, 900.0, 90.0), "the data fit the model: loss within 1.2 nats per pattern of counting noise alone"),
        ((-1.02, 0.3, 90.0, 9.0), "the data fit the model: loss 1 nat per pattern below counting noise alone"),
        ((2.4, 0.7, 272.0, 29.0), "the data fit the model: loss within 2.4 nats per pattern of counting noise alone"),
        ((160.0, 3.0, 2100.0, 210.0), "loss 160 nats per pattern above counting noise alone, at most 210 is usual"),
        (
            (1234.0, 3.0, 2100.0, 210.0),
            "the data do not fit the model: loss 1234 nats per pattern above counting noise alone",
        ),
        ((-22.0, 3.0, 90.0, 18.0), "the model follows the noise: loss 22 nats per pattern below counting noise alone"),
    ],
)
def test_what_the_loss_says_of_the_fit(figures, told):
    """A loss far above noise is no fit, also where a model of that dose usually has such a one."""
    assert excess_figures(Excess(*figures).attributes)["fit"] == told


def test_misfired_frames_are_named_and_then_left_out(misfiring, without):
    seen = Recorder()
    ptychodask.reconstruct(misfiring, JOB, progress=seen)
    assert any("3 of 96 patterns misfired" in text and "(1, 2), (1, 3)" in text for text in seen.warned())
    seen = Recorder()
    result = ptychodask.reconstruct(misfiring, job("misfired"), progress=seen)
    assert bits(result) == bits(without)
    (warning,) = seen.warned()
    assert "3 of 96 patterns misfired and are left out" in warning and "(1, 2), (1, 3), (6, 11)" in warning
    assert {e["patterns"] for e in seen.named("iteration")} == {93.0}
    for found in (result, without):
        assert json.loads(found.attributes["positions_left_out"]) == [list(p) for p in ODD]
        assert found.attributes["patterns_left_out"] == 3
    assert result.config.data.exclude == "misfired"


def test_tiles_and_a_resume_leave_out_the_same(misfiring, without, tmp_path):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(misfiring, job("misfired"), output=target, progress=Recorder(4))
    decided = Decisions.load(RunFolder.of(target).read_json("decisions.json"))
    assert decided.excluded == ((1, 2, 2, 4), (6, 7, 11, 12)) and "misfired" in decided.suspicions[0]
    assert bits(ptychodask.resume(target)) == bits(without)
    tiled = [ptychodask.reconstruct(misfiring, job(how, tile_pixels=34)) for how in ("misfired", ODD)]
    assert bits(tiled[0]) == bits(tiled[1])
    assert tiled[0].attributes["loss_excess"] == pytest.approx(without.attributes["loss_excess"], rel=0.05, abs=0.5)


def test_exclusion_is_right_in_any_blocks(misfiring, without):
    """A block of which nothing is left is not there, and the electrons are counted without it."""
    out = [(y, x) for y in range(4) for x in range(4)]
    found = ptychodask.reconstruct(misfiring, job([*out, (6, 11)]))
    assert found.attributes["patterns_left_out"] == 17
    assert np.isfinite(found.object.values).all()
    power = (abs(found.probe.values) ** 2).sum()
    assert power == pytest.approx((abs(without.probe.values) ** 2).sum(), rel=0.02)


@pytest.mark.parametrize(
    ("exclude", "words"),
    [
        ([[8, 0]], r"\(8, 0\) is outside the scan of 8 x 12"),
        ([[0, 3], [0, 12]], r"\(0, 12\) is outside"),
        ([[y, x] for y in range(8) for x in range(12)], "leaves none of the 96"),
    ],
)
def test_positions_that_cannot_be_left_out_are_refused(sound, exclude, words):
    with pytest.raises(InputError, match=words):
        ptychodask.reconstruct(sound, job(exclude))


@pytest.mark.parametrize("bad", ["misfire", [[1]], [[-1, 2]], 3, [[1.5, 2]], [[1, 2, 3]]])
def test_what_is_no_list_of_positions_is_refused(bad):
    with pytest.raises(InputError, match=r"data\.exclude = ") as refused:
        JobConfig.parse({"data": {"exclude": bad}})
    assert "\n" not in str(refused.value)


def test_positions_come_from_arrays_and_text(tmp_path):
    config = JobConfig.parse({"data": {"exclude": list(np.array([[3, 14], [15, 9]]))}})
    assert config.data.exclude == ((3, 14), (15, 9))
    (tmp_path / "job.toml").write_text(config.to_toml())
    assert JobConfig.load(tmp_path / "job.toml") == config
    assert JobConfig.load(overrides=["data.exclude=[[3, 14], [15, 9]]"]).data == config.data
    assert JobConfig.load(overrides=["data.exclude=misfired"]).data.exclude == "misfired"
    assert JobConfig.load(overrides=["data.exclude=none"]).data.exclude is None


def test_boxes_of_positions_and_what_is_left_out_before_add_up():
    assert boxes_of([(2, 3), (1, 0), (2, 2), (2, 5), (2, 3)]) == ((1, 2, 0, 1), (2, 3, 2, 4), (2, 3, 5, 6))
    block = Block(0, 0, 2, 0, 3).without([(0, 1, 0, 1)]).without([(1, 2, 1, 3)])
    assert block.skip == (0, 4, 5) and block.flat((2, 3)).tolist() == [1, 2, 3]


GARBAGE = {"uint8": 255, "uint16": 65535, "float32": np.nan}


@pytest.mark.parametrize("dtype", GARBAGE)
def test_what_stands_under_the_mask_changes_nothing(tmp_path, dtype):
    """Bits, container and losses are those with zeros there, and no warning comes of it."""
    counts = np.random.default_rng(0).poisson(expected_counts(SCAN, 1.0, 100.0, [(2.0, 3.0, 0.9)])[0]).astype(dtype)
    mask = np.ones(counts.shape[2:], np.uint8)
    mask[14, 17] = mask[2:4, :] = mask[:, 30] = 0
    found = []
    for name, value in (("zeros", 0), ("garbage", GARBAGE[dtype])):
        stored = counts.copy()
        stored[:, :, mask == 0] = value
        path, seen = rewritten(tmp_path / f"{name}.zarr", stored, mask=mask), Recorder()
        result = ptychodask.reconstruct(path, JOB, progress=seen)
        assert [text for text in seen.warned() if "not whole electrons" not in text] == []
        start = seen.named("start")[0]
        losses = [(e["loss"], e["power"]) for e in seen.named("iteration")]
        found.append(
            (bits(result), start["container"], start["pattern_bytes"], losses, result.attributes["loss_excess"])
        )
    assert found[0] == found[1]


def test_the_criteria_of_info_are_handed_on(tmp_path):
    path = write_scan(tmp_path / "scan.zarr", (4, 4), step=4.0)
    expected = ptychodask.info(path).warnings
    assert any("overlap" in text for text in expected)
    seen = Recorder()
    ptychodask.reconstruct(path, JOB, progress=seen)
    assert [v["text"] for v in seen.named("warning")][: len(expected)] == list(expected)


def test_counts_that_do_not_fit_are_named_after_the_run(tmp_path):
    """Electrons times 2.6, rounded."""
    clean, _ = expected_counts(SCAN, 1.0, 300.0, [(2.0, 3.0, 0.9)])
    counts = np.rint(np.random.default_rng(0).poisson(clean) * 2.6).astype(np.uint16)
    seen = Recorder()
    result = ptychodask.reconstruct(rewritten(tmp_path / "s.zarr", counts), JOB, progress=seen)
    assert any("the data do not fit the model" in text for text in seen.warned())
    assert "above counting noise alone" in ptychodask.report(result)["fit"]
    assert result.attributes["loss_excess"] > result.attributes["loss_excess_bound"]
