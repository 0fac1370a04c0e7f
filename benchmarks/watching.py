"""Watching a scan that grows: how soon is there a picture, how far behind are the others, and what does the end cost?

A process writes the frames of a simulated NU-1000 as a Merlin would come: so many per second into a ``.npy`` file.
``ptychodask watch`` follows it, once for each way to finish. Figures are counted from when the frames lay in the file,
by the writer's clock; correlations are of phases in the scanned area, less their means.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, save

import ptychodask
from ptychodask.events import Arrived

QUESTION = "How far behind a growing scan is the picture, and when is the final image there?"
RATE = 1000.0
"""Frames per second."""
WRITER = """
import sys, time
source, target, rate, frame, header = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
content = memoryview(open(source, "rb").read())
header, frame = int(header), int(frame)
sys.stdin.readline()
began = time.time()
print(began, flush=True)
with open(target, "wb") as out:
    done = 0
    while done < len(content):
        until = min(len(content), header + int((time.time() - began) * rate) * frame)
        out.write(content[done:until])
        out.flush()
        done = max(done, until)
        time.sleep(0.01)
"""


def scanned(result: Any, positions: np.ndarray) -> np.ndarray:
    """Phase in the scanned area, less its mean."""
    low, high = positions.reshape(-1, 2).min(axis=0), positions.reshape(-1, 2).max(axis=0)
    part = result.phase.sel(y=slice(low[0], high[0]), x=slice(low[1], high[1])).values
    return part.ravel() - part.mean()


def correlation(one: Any, other: Any) -> float:
    """Of two results of the same scan."""
    positions = other.positions.values
    return float(np.corrcoef(scanned(one, positions), scanned(other, positions))[0, 1])


class Clock:
    """Notes when pictures came."""

    def __init__(self) -> None:
        self.rounds: list[tuple[float, Arrived]] = []

    def __call__(self, event: object) -> None:
        if isinstance(event, Arrived):
            self.rounds.append((time.time(), event))


def watched(folder: Path, source: Path, facts: dict[str, Any], job: dict[str, Any], finish: str, rate: float) -> Any:
    """Figures of a watch, and its result."""
    counts = np.load(source, mmap_mode="r")
    frame, (height, width) = int(counts[0, 0].nbytes), counts.shape[:2]
    header = source.stat().st_size - counts.nbytes
    target, clock, load = folder / f"{finish}.npy", Clock(), os.getloadavg()[0]
    command = [sys.executable, "-c", WRITER, str(source), str(target), str(rate), str(frame), str(header)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        print(file=writer.stdin, flush=True)
        began = float(writer.stdout.readline())
        result = ptychodask.watch(
            target, folder / f"{finish}.zarr", job, finish=finish, picture=folder / f"{finish}.png",
            patience_seconds=60, progress=clock, **facts,
        )  # fmt: skip
        ended = time.time()
    at = {rows: began + rows * width / rate for _, event in clock.rounds for rows in [event.rows]}
    behind = [when - at[event.rows] for when, event in clock.rounds]
    end = began + height * width / rate
    return {
        "load_of_machine_before": load,
        "first_picture_after_first_tenth_s": clock.rounds[0][0] - (began + 0.1 * height * width / rate),
        "rows": [event.rows for _, event in clock.rounds],
        "iterations": [event.iteration for _, event in clock.rounds],
        "pictures_behind_s": behind,
        "last_picture_after_last_frame_s": clock.rounds[-1][0] - end,
        "final_image_after_last_frame_s": ended - end,
    }, result


def measure(tiny: bool, kept: Path | None) -> dict[str, Any]:
    """Both finishes, and the offline image."""
    side, pixels = (16, 48) if tiny else (128, 64)
    job = {"solver": {"iterations": 4, "finish": 1}} if tiny else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, data = Path(temporary), (kept or Path(temporary)) / f"nu-1000-{side}-{pixels}.zarr"
        if not data.exists():
            ptychodask.simulate(
                data, "nu-1000", thickness_angstrom=50, scan_shape=(side, side), detector_pixels=pixels,
                slice_thickness_angstrom=4.0 if tiny else 2.0,
            )  # fmt: skip
        opened = ptychodask.open_dataset(data)
        np.save(folder / "source.npy", opened.counts.values)
        said = opened.attrs
        facts = {name: said[name] for name in ("energy_ev", "semi_angle_mrad", "angular_step_mrad")}
        facts |= {
            "scan_step_angstrom": tuple(said["scan_step_angstrom"]),
            "defocus_angstrom": -said["aberrations"]["C10"],
        }
        ptychodask.import_data(folder / "source.npy", folder / "offline-scan.zarr", **facts)
        offline = ptychodask.reconstruct(folder / "offline-scan.zarr", job, output=folder / "offline.zarr")
        found: dict[str, Any] = {"scan": [side, side], "pixels": pixels, "frames_per_second": RATE}
        for finish in ("exact", "warm"):
            figures, result = watched(folder, folder / "source.npy", facts, job, finish, RATE)
            same = bool(np.array_equal(result.object.values, offline.object.values))
            found[finish] = {**figures, "correlation_with_offline": correlation(result, offline), "same_bits": same}
        seconds = sum(entry.seconds for entry in offline.history)
        return {**found, "offline_iterations_s": seconds, "offline_iterations": len(offline.history)}


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    save("watching", QUESTION, measure(options.tiny, options.data), options)
