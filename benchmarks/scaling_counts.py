"""One iteration in numbers, for ``scaling_model.py``: from the engine's own submission, the planner and the tiles."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import List, TaskRef
from record import RESULTS

from ptychodask.distributed import iterate, tiled
from ptychodask.io.dataset import dataset_info
from ptychodask.io.writer import DatasetWriter
from ptychodask.io.written import ShardSummary
from ptychodask.jobs.experiment import Experiment
from ptychodask.jobs.footprint import Footprint
from ptychodask.model.blocks import Block
from ptychodask.model.config import JobConfig
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Canvas, Detector
from ptychodask.model.tiles import Rect, Tile, hull, make_tiles
from ptychodask.physics.constraints import reach_of

ELECTRONS, EVENTS_BYTES = 100.0, 300.0
"""ASSUMED: electrons of a pattern, and their bytes as events."""
Traffic = dict[tuple[str, str], float]
"""Bytes from one worker to another."""


class Note:
    """Stands for a future: what a client was asked to run."""

    def __init__(self, name: str, after: tuple[Note, ...] = (), place: str = "", block: Block | None = None) -> None:
        self.name, self.after, self.place, self.block = name, after, place, block
        self.depth = 1 + max(a.depth for a in after) if after else 0


class Notebook:
    """A client that runs nothing and takes notes."""

    def __init__(self, workers: int) -> None:
        self.names, self.notes = [f"{w:05}" for w in range(workers)], list[Note]()

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {name: {"nthreads": 1} for name in self.names}}

    def get(self, graph: HighLevelGraph, keys: list[str], **_: Any) -> list[Note]:
        """Of tasks that are sent together, each after those that it needs."""
        made: dict[str, Note] = {}
        for layer in graph.layers.values():
            places = (layer.annotations or {})["workers"]
            for key, task in layer.items():
                flat = [a for its in task.args for a in (its.args if isinstance(its, List) else [its])]
                refs = [made[a.key] if isinstance(a, TaskRef) else a for a in flat]
                after = tuple(a for a in refs if isinstance(a, Note))
                block = next((a for a in refs if isinstance(a, Block)), None)
                made[key] = Note(task.func.__name__, after, (places(key) or [""])[0], block)
        self.notes += made.values()
        return [made[key] for key in keys]


@dataclass(frozen=True)
class Scan:
    """A dataset, whose counts may be missing, and a job."""

    shapes: Footprint
    canvas: Canvas
    windows: tuple[Rect, ...]

    @property
    def pixels(self) -> int:
        """Of all slices."""
        return self.shapes.slices * math.prod(self.canvas.shape)


@cache
def scan_of(path: Path, job: str) -> Scan:
    experiment = Experiment(dataset_info(path, whole=False), JobConfig.parse(json.loads(job)))
    assert not experiment.searches_line, "the model has no second pass"
    shapes = Footprint(experiment, "cupy", EVENTS_BYTES)
    return Scan(shapes, experiment.canvas, tuple(shapes.windows))


def skeleton(folder: Path, scan: tuple[int, int], pixels: int = 128, step: float = 1.05) -> Path:
    """A dataset without counts, which is all that a footprint looks at; ``step`` in angstrom."""
    path = folder / f"{scan[0]}x{scan[1]}.zarr"
    if not path.exists():
        microscope = Microscope(300e3, 10.0, {"C10": -600.0})
        detector = Detector(pixels, 0.47)
        with DatasetWriter(path, scan, microscope, detector, step, dtype="uint8", chunks=(16, 16)) as writer:
            writer.add(ShardSummary(block.index, "", ELECTRONS * block.size, 1.0) for block in writer.blocks)
    return path


@dataclass(frozen=True)
class Counts:
    """What the worker with most of it has in one iteration, and what all have together. Bytes where nothing is said."""

    workers: int
    blocks: int
    tiles: int
    tasks: int
    depth: int
    """Tasks that have to follow each other."""
    all_patterns: int
    patterns: float
    copied: float
    """To the device and back."""
    down: float
    up: float
    merged: float
    advanced: float
    """Pixels of all slices."""
    all_moved: float
    all_merged: float
    all_advanced: float
    between_tiles: float
    """As the history counts them: whichever worker they are on."""
    between_tiles_by_fit: float


def count(scan: Scan, workers: int, tile_pixels: int | None = None) -> Counts:
    """One iteration whose probe moves."""
    shapes, blocks = scan.shapes, scan.shapes.blocks
    # the probe is held in the first iteration, and every block has the same sums for it
    maps, probe = shapes.bytes_merged(0), (shapes.bytes_merged(1) - shapes.bytes_merged(0)) / len(blocks)
    pixel = maps / sum(window.area for window in scan.windows)
    object_bytes = shapes.state_bytes - shapes.result_bytes  # two objects less one
    tiles: tuple[Tile, ...] = ()
    if tile_pixels is not None:
        margin = reach_of(shapes.experiment.constraints)
        tiles = make_tiles(scan.canvas.shape, tile_pixels, scan.windows, margin)
    notes, places = _submitted(shapes, workers, tiles)

    patterns, copied = defaultdict[str, float](float), defaultdict[str, float](float)
    merged, down = defaultdict[tuple[Any, str], float](float), defaultdict[tuple[str, str], float](float)
    up = defaultdict[Any, Traffic](lambda: defaultdict(float))
    window_of = dict(zip((b.index for b in blocks), scan.windows, strict=True))
    updates: dict[Note, tuple[Rect, str, int]] = {}  # window, worker, level of the tree
    for note in notes:
        if note.block is not None:
            window = window_of[note.block.index]
            updates[note] = window, note.place, 0
            patterns[note.place] += note.block.size
            events = note.block.size * shapes.pattern_bytes
            copied[note.place] += 1.5 * pixel * window.area + 2 * probe + events  # phases in, both maps out
        elif note.name == "_merge" and note.after[-1] in updates:
            parts = [(updates[a][1], pixel * updates[a][0].area + probe) for a in note.after if a in updates]
            level = 1 + max(updates[a][2] for a in note.after if a in updates)
            here = max((p for p, _ in parts), key=lambda p: sum(size for at, size in parts if at == p))
            updates[note] = hull([updates[a][0] for a in note.after if a in updates]), here, level
            for place, size in parts:
                merged[level, here] += size
                up[level][place, here] += size
    advanced = {"": float(scan.pixels)}
    between = 0.0
    if tiles:
        advanced = defaultdict(float)
    for t in tiles:
        here = places[t.index]
        advanced[here] += shapes.slices * t.work.area
        merged["model", here] += pixel / 2 * t.reach.area  # phases; maps are gradient and illumination
        for u in t.lenders:
            down[places[u], here] += (size := pixel / 2 * _common(tiles[u].core, t.reach))
            between += size
        for u in t.givers:
            size = pixel * _common(tiles[u].lit, t.work)
            merged["sums", here] += size
            up["sums"][places[u], here] += size
            between += size if u != t.index else 0.0
    # the model; or what tiles share, and the probe's direction in the step that they take together
    star = (len(patterns) - 1) * (shapes.result_bytes - object_bytes + probe if tiles else shapes.result_bytes)
    levels = {level for level, _ in merged}
    return Counts(
        workers=workers,
        blocks=len(blocks),
        tiles=len(tiles),
        tasks=len(notes),
        depth=max(note.depth for note in notes),
        all_patterns=shapes.patterns,
        patterns=max(patterns.values()),
        copied=max(copied.values()),
        down=star + _busiest(down),
        up=sum(_busiest(traffic) for traffic in up.values()),
        merged=sum(max(size for (at, _), size in merged.items() if at == level) for level in levels),
        advanced=max(advanced.values()),
        all_moved=star + sum(size for t in [down, *up.values()] for (a, b), size in t.items() if a != b),
        all_merged=sum(merged.values()),
        all_advanced=sum(advanced.values()),
        between_tiles=between,
        between_tiles_by_fit=_by_fit(scan, tiles) if tiles else 0.0,
    )


def _submitted(shapes: Footprint, workers: int, tiles: tuple[Tile, ...]) -> tuple[list[Note], list[str]]:
    """What the engine asks a client for in one iteration, and where the tiles live."""
    client: Any = Notebook(workers)
    algorithm, source, shared = Note("algorithm"), None, Note("shared")
    arguments: Any = (client, algorithm, False, source, shapes.blocks, shapes.cache_bytes, "model")
    job = iterate.Job(*arguments)
    these = tiles or make_tiles(shapes.canvas, max(shapes.canvas), shapes.windows, 0)
    cores: Any = tuple(Note("tile") for _ in these)
    tiled._submit_pass(these, job, "0", tiled.InTiles(cores, shared), False)  # type: ignore[arg-type]
    return client.notes, tiled.places_of(client, tiles, shapes.blocks).tiles if tiles else []


def _common(a: Rect | None, b: Rect) -> int:
    both = a.common(b) if a else None
    return both.area if both else 0


def _busiest(traffic: Traffic) -> float:
    """Of all workers' ways in and out, the one with most."""
    ways = defaultdict[Any, float](float)
    for (a, b), size in traffic.items():
        if a != b:
            ways["out", a] += size
            ways["in", b] += size
    return max(ways.values(), default=0.0)


def _by_fit(scan: Scan, tiles: tuple[Tile, ...]) -> float:
    """Bytes between tiles by the fit of ``tiles.json``, made at N = 64: edges grow with N, corners with N^2.

    The fit is without blur and for blocks whose borders are those of the tiles.
    """
    fit = json.loads((RESULTS / "tiles.json").read_text())["result"]["exchange"]
    wider, slices, (height, width) = scan.shapes.info.detector.pixels / 64, scan.shapes.slices, scan.canvas.shape
    rows, columns = len({t.core.y0 for t in tiles}), len({t.core.x0 for t in tiles})
    edges = 2 * ((rows - 1) * width + (columns - 1) * height)
    corners = 4 * (rows - 1) * (columns - 1)
    along, square = fit["bytes_per_perimeter_pixel"], fit["bytes_per_inner_corner"]
    return slices * (wider * along * edges + wider**2 * square * corners)
