"""What a job will take, before it runs: memory, bytes, time; and whether that fits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .._array import backend_module, cupy_available
from .._errors import InputError
from .._tables import Row, counted, table
from ..distributed.cluster import connect
from ..distributed.machine import cores, cuda_devices
from ..distributed.site import Site, available_bytes, site_here, site_of
from ..io.dataset import dataset_info
from ..io.source import stored_bytes
from ..model.config import JobConfig
from .build import build_algorithm
from .calibrate import Sample, Speed, measure, sample
from .checks import check
from .experiment import Experiment
from .footprint import Footprint
from .footprint_tiles import exchanged_bytes
from .memory import memory_of, remedy
from .recipe import Recipe, choose_kernels

BLOCK_SECONDS = 2e-3
"""What Dask takes for a block, its task and its share of the merges: 1 to 2 ms a task are usual."""


@dataclass(frozen=True, repr=False)
class Plan:
    """What a job will take.

    Parameters
    ----------
    footprint : Footprint
        Bytes held, read, merged and exchanged.
    site : Site
        Workers, threads, and how much memory Dask lets a worker have.
    sample : Sample
        A few patterns in their container.
    stored_bytes : float
        Bytes of a pattern on disk; NaN where nobody is shown them, because every shard has to be looked at.
    memory : dict
        Bytes per worker, by what for.
    available : int or None
        Free memory of this machine, if workers share it.
    device_memory, device_available : int or None
        Least bytes on the device, and those that are free; None without one. Mini-batches take what there is.
    speed : Speed or None
        What a short run measured; None where it was not asked for, or nothing would fit.
    problems : tuple of str
        Why it cannot run, with the remedy.
    """

    footprint: Footprint
    site: Site
    sample: Sample
    stored_bytes: float
    memory: dict[str, int]
    available: int | None
    device_memory: int | None
    device_available: int | None
    speed: Speed | None
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        time = "" if self.speed is None else f", {self.seconds_per_iteration:.3g} s per iteration"
        fits = counted(len(self.problems), "problem") if self.problems else "it fits"
        workers = f"{counted(self.site.workers, 'worker')} of {size(self.memory_per_worker)}"
        return f"Plan({self.footprint.patterns} patterns, {workers}{time}, {fits})"

    def __str__(self) -> str:
        return "\n".join([table(self.rows()), *(f"problem: {text}" for text in self.problems)])

    @property
    def memory_per_worker(self) -> int:
        """Bytes in all."""
        return sum(self.memory.values())

    @property
    def bytes_read(self) -> int:
        """Counts that are decoded in every iteration because they are not cached."""
        return self.footprint.bytes_read(self.site.workers)

    @property
    def bytes_merged(self) -> int:
        """Updates of all blocks in the last iteration (in earlier ones the probe may still be held)."""
        return self.footprint.bytes_merged(self.iterations - 1)

    @property
    def bytes_exchanged(self) -> int:
        """Frames that tiles get from each other in every iteration; 0 where the object stays whole."""
        return exchanged_bytes(self.footprint)

    @property
    def iterations(self) -> int:
        """At most."""
        return self.footprint.config.solver.iterations

    @property
    def information_passes(self) -> int:
        """Further passes over the patterns, in which it is measured what the electrons carry."""
        experiment = self.footprint.experiment
        fit, finish = experiment.split_iterations
        rule = experiment.information(fit if finish else None)
        return 0 if rule is None else sum(i < self.iterations for i in rule.at)

    @property
    def seconds(self) -> float:
        """Of the whole run at most; NaN where nothing was measured. A further pass is taken as a whole iteration."""
        return self.seconds_per_iteration * (self.iterations + self.information_passes)

    @property
    def seconds_per_iteration(self) -> float:
        """From the measured run; NaN without one.

        Reading is hidden behind computing where a core is free for it, and comes on top where none is. Every block is a
        task, and its update is merged. What a network takes for the frames of tiles is not known and not in it: many
        small tiles take longer.
        """
        if self.speed is None:
            return math.nan
        speed, site = self.speed, self.site
        share = self.footprint.largest_share(site.workers) * site.workers
        processes = _alike(self.footprint.config, site)
        measured = site.workers // processes  # how many workers the measured threads stand for
        rate = speed.pattern_rate * processes
        compute = share / rate + share * speed.line_seconds / (speed.threads * site.workers / measured)
        times = 2 if self.footprint.searches_line else 1
        read = times * speed.read_seconds * self.bytes_read / self.footprint.dense_pattern
        if site.here and site.workers * site.threads >= cores():
            return compute + read / cores() + self._advance_seconds(speed) + self._task_seconds
        return max(compute, read / site.workers) + self._advance_seconds(speed) + self._task_seconds

    @property
    def _task_seconds(self) -> float:
        """What the scheduler, which takes one task after the other, needs for all blocks of an iteration."""
        passes = 2 if self.footprint.searches_line else 1
        return passes * len(self.footprint.blocks) * BLOCK_SECONDS

    def _advance_seconds(self, speed: Speed) -> float:
        """Of all rounds; tiles take their steps side by side, as far as there are threads and cores."""
        shapes, site = self.footprint, self.site
        turns = 1
        if shapes.tiles and site.here:
            turns = math.ceil(len(shapes.tiles) / min(site.workers * site.threads, cores()))
        elif shapes.tiles:
            turns = math.ceil(max(len(share) for share in shapes.tile_shares(site.workers)) / site.threads)
        return shapes.config.solver.rounds_per_iteration * turns * speed.advance_seconds

    def rows(self) -> list[Row]:
        """Label, value, remark and whether it fits (None where there is nothing to compare with)."""
        shapes, site = self.footprint, self.site
        data, cache = shapes.data_bytes(site.workers), shapes.cache_bytes
        again = "what is not cached" + (", twice: the tangent step reads it again" if shapes.searches_line else "")
        held = f"{self.sample.container} (uncompressed; {self.stored_bytes:.0f} B on disk)"
        rows: list[Row] = [
            ("patterns", f"{shapes.patterns}", f"in {counted(len(shapes.blocks), 'block')}", None),
            ("workers", f"{site.workers}", f"of {counted(site.threads, 'thread')}", None),
            ("counts per pattern", f"{self.sample.pattern_bytes:.0f} B", held, None),
            ("counts per worker", size(data), f"of {size(cache)} that it may cache", None),
            ("read per iteration", size(self.bytes_read), again if self.bytes_read else "all is cached", None),
            ("merged per iteration", size(self.bytes_merged), "updates of all blocks", None),
        ]
        bounds = [f"{size(site.limit)} that Dask allows"] if site.limit is not None else []
        bounds += [f"{size(self.available)} free on this machine"] if self.available is not None else []
        remark = "of " + ", ".join(bounds) if bounds else "no limit is known"
        if shapes.tiles:
            height, width = shapes.tiles[0].core.shape
            most = max(len(share) for share in shapes.tile_shares(site.workers))
            tiles = f"of at most {height} x {width} pixels, up to {most} to a worker"
            rows.append(("tiles of the object", f"{len(shapes.tiles)}", tiles, None))
            rows.append(("exchanged per iteration", size(self.bytes_exchanged), "frames between tiles", None))
        rows.append(("memory per worker", size(self.memory_per_worker), remark, not self.problems))
        rows += [(f"  {name}", size(value), "", None) for name, value in self.memory.items()]
        if self.device_memory is not None and self.device_available is not None:
            free = f"at least, of {size(self.device_available)} free"
            rows.append(("device memory", size(self.device_memory), free, self.device_memory <= self.device_available))
        if self.speed is not None:
            each, total = self.seconds_per_iteration, self.seconds
            besides = counted(self.information_passes, "pass", "passes")
            besides = f" and {besides} for the information" if self.information_passes else ""
            threads = counted(self.speed.threads, "thread")
            measured = f"{self.speed.pattern_rate:.4g} patterns per second on {threads}, measured"
            measured += "; without what sending frames takes" if shapes.tiles else ""
            rows.append(("time per iteration", f"{each:.3g} s", measured, None))
            how_many = f"for {counted(self.iterations, 'iteration')}{besides}, the most"
            rows.append(("time in all", f"{total:.3g} s", how_many, None))
        rows.append(("checkpoint", size(shapes.state_bytes), "on disk, uncompressed", None))
        rows.append(("result", size(shapes.result_bytes), "on disk, uncompressed", None))
        return rows


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def make_plan(experiment: Experiment, site: Site, *, calibrate: bool) -> Plan:
    """What a job will take at a site; ``calibrate`` runs a few patterns to measure its speed, unless it cannot fit."""
    info, config = experiment.info, experiment.config
    patterns = math.prod(dataset_info(info.path, whole=False).scan_shape)
    plan = replace(_needs(experiment, site), stored_bytes=stored_bytes(info.path) / patterns)
    if not calibrate or plan.problems:
        return plan
    threads = min(site.threads * (site.workers // _alike(config, site)), cores())
    ready = choose_kernels(_recipe(experiment).with_decided(mean_counts=plan.sample.mean_counts))
    return replace(plan, speed=measure(experiment, ready, plan.sample, threads, plan.footprint.tiles))


def _recipe(experiment: Experiment) -> Recipe:
    """What nothing was decided about yet."""
    return Recipe(experiment.info.path, experiment.config.model_dump_json(), selection=experiment.info.selection)


def _needs(experiment: Experiment, site: Site) -> Plan:
    """The plan without what only a reader wants to know."""
    backend: str = experiment.config.engine.backend
    if backend == "auto":  # workers elsewhere may have devices that this machine lacks: nothing is refused for that
        backend = "cupy" if experiment.config.engine.gpus is not None or cupy_available() else "cpu"
    recipe = _recipe(experiment)
    taken = sample(recipe.experiment if experiment.further else experiment, build_algorithm(recipe))
    shapes = Footprint(experiment, backend, taken.pattern_bytes)
    plan = Plan(
        footprint=shapes,
        site=site,
        sample=taken,
        stored_bytes=math.nan,
        memory=memory_of(shapes, site),
        available=available_bytes() if site.here else None,
        device_memory=shapes.device_bytes() if backend == "cupy" else None,
        device_available=_device_bytes() if backend == "cupy" and cupy_available() else None,
        speed=None,
        problems=(),
    )
    return replace(plan, problems=tuple(_problems(plan)))


def plan_of(experiment: Experiment, client: Any, calibrate: bool) -> Plan:
    """The plan where the job would run: on the client, on its scheduler, or on what would be started here."""
    check(experiment)
    engine = experiment.config.engine
    if client is None and engine.scheduler is None:
        devices = len(cuda_devices()[0]) if engine.gpus == "all" else 0
        return make_plan(experiment, site_here(engine.place, devices), calibrate=calibrate)
    with connect(client, place=engine.place) as connected:
        site = site_of(connected)
    return make_plan(experiment, site, calibrate=calibrate)


def check_fits(experiment: Experiment, client: Any) -> None:
    """Refuse a job that cannot fit where it is to run; takes a fraction of a second."""
    refuse(_needs(experiment, site_of(client)))


def refuse(plan: Plan) -> None:
    """Raise what stands against a plan."""
    if plan.problems:
        raise InputError("; ".join(plan.problems))


def _alike(config: JobConfig, site: Site) -> int:
    """Processes as fast as the one that measures: workers on one machine share its cores, but each has its own GPU."""
    return 1 if site.here and config.engine.gpus is None else site.workers


def _device_bytes() -> int:
    return int(backend_module("cupy").cuda.runtime.memGetInfo()[0])


def _problems(plan: Plan) -> list[str]:
    problems = []
    total, help_with = plan.memory_per_worker, partial(remedy, plan.footprint, plan.site, plan.memory)
    if plan.site.limit is not None and total > plan.site.limit:
        told = f"a worker needs {size(total)} of memory ({size(plan.site.limit)} before Dask pauses it)"
        problems.append(f"{told}: {help_with(total - plan.site.limit)}")
    elif plan.available is not None:
        # what this process holds already is not taken from what is free
        new = total - plan.memory["imports"] if plan.site.in_process else total * plan.site.workers
        if new > plan.available:
            workers, free = counted(plan.site.workers, "worker"), size(plan.available)
            told = f"{workers} together: {size(new)} of memory are needed ({free} free here)"
            problems.append(f"{told}: {help_with((new - plan.available) / plan.site.workers)}")
    if plan.device_memory is not None and plan.device_available is not None:
        excess = plan.device_memory - plan.device_available
        if excess > 0:
            told = f"a block needs {size(plan.device_memory)} on the device ({size(plan.device_available)} free)"
            problems.append(f"{told}: free its memory, or set a smaller engine.block")
    return problems
