"""Halves of a result: every electron in one of them, the result's own job, and nothing done twice after a kill."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_scan import BLUR, OPTICS, PEAKS, Recorder, expected_counts, write_scan
from typer.testing import CliRunner

import ptychodask
from ptychodask._errors import InputError
from ptychodask.analysis.spectrum import crop_to_scan
from ptychodask.cli.app import app
from ptychodask.counts.patterns import dense, in_half, to_events
from ptychodask.jobs.halves import folder_of

JOB = {**BLUR, "solver": {"iterations": 3, "finish": 1}}
SCAN = (16, 16)


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    return write_scan(tmp_path_factory.mktemp("halves") / "scan.zarr", SCAN, chunks=(8, 16), electrons=300.0)


@pytest.fixture(scope="module")
def result(scan: Path) -> ptychodask.io.result.Result:
    job = {**JOB, "analysis": {"halves": True}}
    return ptychodask.reconstruct(scan, job, output=scan.with_name("result.zarr"), progress=False)


def test_every_electron_is_in_one_half_whatever_the_container() -> None:
    counts = np.random.default_rng(0).poisson(3.0, (5, 16, 16)).astype(np.uint8)
    indices = np.arange(5) + 7
    halves = [np.concatenate(list(in_half(counts, indices, 3, second=which))) for which in (False, True)]
    assert np.array_equal(halves[0] + halves[1], counts)
    first = [dense(e, 0, 5, 16, np, np.uint8) for e in in_half(to_events(counts), indices, 3, second=False)]
    assert np.array_equal(first[0], halves[0])
    in_runs = list(in_half([counts[:2], counts[2:]], indices, 3, second=True))
    assert np.array_equal(np.concatenate(in_runs), halves[1])
    # a binomial of 1/2, and the halves of Poisson counts know nothing of each other
    assert halves[0].sum() == pytest.approx(counts.sum() / 2, abs=3 * np.sqrt(counts.sum()) / 2)
    assert abs(np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1]) < 3 / np.sqrt(counts.size)


def test_a_job_may_want_them_at_once(scan: Path, result) -> None:
    """The image has the bits of one without; each half those of a run of its own."""
    plain = ptychodask.reconstruct(scan, JOB, progress=False)
    assert np.array_equal(plain.phase.values, result.phase.values) and plain.halves is None
    for half in ("first", "second"):
        alone = ptychodask.reconstruct(scan, {**JOB, "data": {"half": half}}, progress=False)
        assert alone.attributes["electrons_per_pattern"] == pytest.approx(
            result.attributes["electrons_per_pattern"] / 2
        )
        inside = crop_to_scan(alone.phase, alone.positions.values)
        assert np.array_equal(result.halves[half].values, inside.values.astype(np.float32))
    assert not folder_of(Path(result.path)).exists()
    assert sorted(p.name for p in scan.parent.iterdir()) == ["result.zarr", "scan.zarr"]


def test_the_report_reads_its_resolution_from_them(result) -> None:
    figures = ptychodask.report(result)
    found = ptychodask.halves(result)
    limit = float(found.resolution_angstrom)
    assert figures["halves_resolution_angstrom"] == (pytest.approx(limit) if np.isfinite(limit) else None)
    assert "halves of the electrons agree" in figures["resolution_by"]
    assert any("the halves agree" in line for line in figures["told"])
    assert found.frequency.attrs["units"] == "1/angstrom"


def test_what_is_interrupted_goes_on_to_the_same_bits(scan: Path, result) -> None:
    other = ptychodask.reconstruct(scan, JOB, output=scan.with_name("other.zarr"), progress=False)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.halves(other, progress=Recorder(stop_at=6))  # in the second half
    folder = folder_of(Path(other.path))
    assert other.halves is None
    assert any(p.name.startswith("first") for p in folder.iterdir())
    again = Recorder()
    ptychodask.halves(other, progress=again)
    assert len(again.named("start")) == 1  # the first is not done twice
    assert other.halves.equals(result.halves)
    assert not folder.exists() and not list(scan.parent.glob("*.held"))
    silent = Recorder()
    ptychodask.halves(other, progress=silent)
    assert silent.events == []


def test_what_is_interrupted_goes_on_where_the_dataset_was_moved(scan: Path, result, tmp_path: Path) -> None:
    first, moved = tmp_path / "first.zarr", tmp_path / "moved.zarr"
    shutil.copytree(scan, first)
    other = ptychodask.reconstruct(first, JOB, output=tmp_path / "other.zarr", progress=False)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.halves(other, progress=Recorder(stop_at=2))
    first.rename(moved)
    with pytest.raises(InputError, match="say where it is with --data"):
        ptychodask.halves(other, progress=False)
    ptychodask.halves(other, moved, progress=False)
    assert other.halves["first"].equals(result.halves["first"])


def test_vacuum_is_a_scan_of_the_same_probe(result) -> None:
    found = ptychodask.halves(result, vacuum=True, progress=False)
    assert found.attrs["vacuum_known"] == 1 and np.isfinite(found.vacuum.values[1:]).any()
    stored = result.halves
    # what is seen in vacuum is noise: weaker than the peaks of the specimen, and around 0 but for positivity
    assert float(stored.vacuum_first.std()) < 0.5 * float(stored["first"].std())


def test_where_the_model_is_right_the_misfit_is_noise_and_elsewhere_not(scan: Path, result, tmp_path: Path) -> None:
    found = ptychodask.misfit(result)
    assert found.scan.shape == SCAN and found.detector.attrs["units"] == "standard deviations"
    assert 0.6 < float(found.scan.std()) < 1.5 and abs(float(found.scan.mean())) < 1.5
    ratio = float((found.fourier_error / found.fourier_error_expected).mean())
    assert ratio == pytest.approx(1, abs=0.05)
    # patterns of some rows that moved on the detector
    counts = ptychodask.open_dataset(scan).counts.values
    counts[:4] = np.roll(counts[:4], 4, axis=-1)
    moved = ptychodask.create_dataset(tmp_path / "moved.zarr", counts, scan_step_angstrom=1.0, **OPTICS)
    off = ptychodask.misfit(ptychodask.reconstruct(moved, JOB, progress=False))
    assert float(off.scan[:4].mean()) > float(off.scan[6:].mean()) + 3
    over = off.fourier_error / off.fourier_error_expected
    assert float(over[:4].mean()) > float(over[6:].mean()) + 0.05
    assert float(off.detector.std()) > 1.5 * float(found.detector.std())


def test_the_command_says_it_in_words(result) -> None:
    told = CliRunner().invoke(app, ["halves", result.path, "--json"])
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert len(figures["frc"]) == len(figures["frequency"]) and figures["told"]


def test_bad_input_is_one_line(scan: Path, result, tmp_path: Path) -> None:
    half = ptychodask.reconstruct(scan, {**JOB, "data": {"half": "first"}}, progress=False)
    with pytest.raises(InputError, match="is a half itself"):
        ptychodask.halves(half)
    with pytest.raises(InputError, match=r"data\.half"):
        ptychodask.reconstruct(scan, {"data": {"half": "third"}}, progress=False)
    other = write_scan(tmp_path / "other.zarr", SCAN, chunks=(8, 16), electrons=300.0, seed=5)
    with pytest.raises(InputError, match="another dataset"):
        ptychodask.halves(result, other, overwrite=True)
    part = ptychodask.reconstruct(ptychodask.open_dataset(scan).isel(scan_y=slice(0, 10)), JOB, progress=False)
    with pytest.raises(InputError, match="give the same Dataset"):
        ptychodask.halves(part)
    smooth = ptychodask.create_dataset(
        tmp_path / "floats.zarr", expected_counts((6, 6), 1.0, 100.0, PEAKS)[0].astype(np.float32),
        scan_step_angstrom=1.0, **OPTICS,
    )  # fmt: skip
    with pytest.raises(InputError, match="whole electrons"):
        ptychodask.reconstruct(smooth, {**JOB, "data": {"half": "first"}}, progress=False)
    tiny = ptychodask.reconstruct(write_scan(tmp_path / "tiny.zarr", (8, 8)), JOB, progress=False)
    with pytest.raises(InputError, match="larger area"):
        ptychodask.halves(tiny, progress=Recorder(stop_at=1))  # before anything is computed
    with pytest.raises(InputError, match="engine"):
        ptychodask.halves(result, engine={"block": (2, 2)}, overwrite=True)
