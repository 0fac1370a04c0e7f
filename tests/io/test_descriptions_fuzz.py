"""Files that programs wrote, edited at random: every reader gives an answer or one line, at once, and takes no memory.

``PTYCHODASK_FUZZ=200 python -m pytest -s tests/io/test_descriptions_fuzz.py`` tries
so many edits of each kind of file.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_scan import BLUR, Recorder, write_scan

import ptychodask
from ptychodask import InputError, StoppedError
from ptychodask.io.checkpoint import RunFolder, load_state
from ptychodask.io.dataset import read_mask, read_positions, read_truth
from ptychodask.jobs import launch

JOB = {
    "object": {**BLUR["object"], "slices": 1},
    "solver": {"iterations": 4, "finish": 1},
    "engine": {"checkpoint_every": 1},
}
EXAMPLES = int(os.environ.get("PTYCHODASK_FUZZ", "20"))
SECONDS, MIB = 5.0, 200.0
"""Bounds of an answer, of this process's CPU time, and of what all answers together add to its peak."""

NUMBERS = (None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**25), 0.5, 1e300, -1e-300, math.nan, math.inf)
TEXTS = ("", "text", "a" * 10_000, "\x1b[31mred\x1b]0;title\x07\nline", "\ud800", "\u202e", "$\\frac{", "é", "[1, 2]")
scalars = st.sampled_from((*NUMBERS, *TEXTS))
values = st.one_of(
    scalars,
    st.sampled_from([[], {}, [1], [None], {"name": "x"}, [[[]]], [1e9] * 4, list(range(300)), {"": {"": []}}]),
    st.integers(2, 200).map(lambda depth: json.loads("[" * depth + "]" * depth)),
)
edits = st.tuples(st.integers(0, 10**6), st.sampled_from(["replace", "delete", "add", "double"]), values)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something may be edited: every key and every index, in text of JSON too."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in inside for place in [(*path, key), *places(child, (*path, key))]]


def edit(document: Any, number: int, how: str, value: Any) -> Any:
    """The document with one change."""
    found = places(document)
    if not found:
        return value
    *way, last = found[number % len(found)]
    document = copy.deepcopy(document)
    target = document
    for key in way:
        target = target[key]
    if how == "delete":
        del target[last]
    elif how == "add" and isinstance(target, dict):
        target["more"] = value
    elif how == "double" and isinstance(target[last], int | float | str | list):
        target[last] = target[last] * 1_000_003 if isinstance(target[last], int | float) else target[last] * 2
    else:
        target[last] = value
    return document


longest = {"seconds": 0.0}


def peak_mib() -> float:
    """Of this process; 0 where there is no Linux to ask."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def ends_well(call: Callable[..., Any], *arguments: Any) -> None:
    """An answer, or one printable line, at once."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(*arguments)
        except (InputError, StoppedError) as error:
            assert 0 < len(str(error)) < 1000 and str(error).isprintable()
    seconds = time.process_time() - began
    assert seconds < SECONDS, (call, arguments)
    longest["seconds"] = max(longest["seconds"], seconds)


def read_everything(folder: Path, kind: str) -> None:
    """All that reads a dataset, a result or a run folder."""
    scan, result, run = folder / "scan.zarr", folder / "result.zarr", RunFolder(folder / "stopped.zarr.run")
    if kind == scan.name:
        for reader in (ptychodask.info, read_positions, read_mask, read_truth):
            ends_well(reader, scan)
        ends_well(lambda: ptychodask.open_dataset(scan).load())
    if kind == result.name:
        for name in ("attributes", "history", "config", "phase", "probe", "positions", "iteration"):
            ends_well(lambda name: getattr(ptychodask.open_result(result), name), name)
    if kind == run.path.name:
        for iteration in run.checkpoints():
            ends_well(load_state, run.checkpoint(iteration))
    ends_well(*((ptychodask.report, result) if kind == result.name else (ptychodask.resume, folder / "stopped.zarr")))


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A dataset with its truth, a result and an interrupted run."""
    import numpy as np
    import xarray as xr

    folder = tmp_path_factory.mktemp("sound")
    axis = np.arange(60) * 0.4 - 8
    truth = xr.Dataset({"phase": (("y", "x"), np.ones((60, 60)))}, {"y": axis, "x": axis})
    scan = write_scan(folder / "scan.zarr", (12, 12), attributes={"specimen": "thing"}, truth=truth, chunks=(6, 6))
    ptychodask.reconstruct(scan, JOB, output=folder / "result.zarr")
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, JOB, output=folder / "stopped.zarr", progress=Recorder(3))
    return folder


@pytest.fixture
def stopped_before_computing(monkeypatch):
    """A resumed run reads all of its files, and then stops."""

    def stop(*arguments: Any) -> None:
        raise StoppedError("everything is read")

    monkeypatch.setattr(launch, "_run", stop)
    monkeypatch.setattr(launch, "check_places", lambda *arguments: None)
    monkeypatch.setattr(launch, "connect", lambda *arguments, **options: nullcontext())


def documents(folder: Path, kind: str) -> list[Path]:
    return sorted(file for file in (folder / kind).rglob("*.json"))


@pytest.mark.parametrize("kind", ["scan.zarr", "result.zarr", "stopped.zarr.run"])
def test_any_edit_of_a_file_is_one_line_at_once(kind, sound, tmp_path, stopped_before_computing):
    read_everything(sound, kind)
    with suppress(OSError):  # Linux: the peak begins anew
        Path("/proc/self/clear_refs").write_text("5")
    longest["seconds"], peak = 0.0, peak_mib()

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 10**6), st.lists(edits, min_size=1, max_size=2))
    def check(which: int, changes: list[tuple[int, str, Any]]) -> None:
        files = documents(sound, kind)
        # files of a few lines matter as much as those of many arrays
        file = files[which % len(files)] if which % 2 else min(files, key=lambda f: (len(f.parts), which % 7))
        before = file.read_bytes()
        changed = json.loads(before)
        for number, how, value in changes:
            changed = edit(changed, number, how, value)
        try:
            file.write_text(json.dumps(changed))
            read_everything(sound, kind)
        finally:
            file.write_bytes(before)

    check()
    grown = peak_mib() - peak
    said = f"longest answer {longest['seconds']:.2f} s of CPU, peak {grown:.0f} MiB higher"
    print(f"{kind}: {EXAMPLES} edits, {said}")  # noqa: T201
    assert grown < MIB
