"""How should one reconstruction scale to 64 GPUs? A model of measured costs and counted bytes: no GPU was run.

Seconds of one iteration on P workers of one device and one thread each; max is the worker that has most:

    seconds   = max(scheduler, compute + copies + overhead + down + up + merge + advance)
    scheduler = tasks c_s                    one process serves all; two passes in flight hide it below the rest
    compute   = max patterns t               t = bytes of a pattern / (share that kernels reach x memory of the device)
    copies    = max bytes / PCIe             of every block: phases and probe to the device, its sums back
    overhead  = tasks c_w / P + depth (c_l + latency)        depth: the longest chain of tasks
    down      = (P - 1) model / bandwidth    a star: when all workers ask for a new model, one of them has it
    up        = sum over the levels of the merge tree of max bytes in or out / bandwidth
    merge     = sum over the levels of max bytes c_m         on the worker's only thread, so its device waits
    advance   = S pixels c_a                 on one thread of one worker

With the object in tiles, the star is that of what all tiles share (probe, positions), frames come down and sums go up
between neighbours, trees stay inside tiles, and every worker advances the work areas of its tiles.

Counted (``scaling_counts.py``): tasks, depth and tree are what the engine's ``_submit_pass`` asks of a client that only
takes notes, windows and bytes are the planner's ``Footprint``, tiles are ``make_tiles``. Measured here
(``scaling_rates.py``): c_s, c_w, c_l, c_m, c_a. t has the bytes of algorithms.md section 10 (unfused) or of
``gpu_per_pattern.py`` (fused). All else is ASSUMED, below. Blocks and tiles are the fastest of a few; ``default`` is
with blocks of 16 x 16. Left out: reading, validation, checkpoints, the tangent step, and that workers of one host share
its memory. ``check`` predicts real runs on this machine.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import memory
import tiles as tiles_benchmark
from distributed import Client
from gpu_per_pattern import bytes_of
from record import RESULTS, arguments, save
from scaling_check import run
from scaling_counts import ELECTRONS, EVENTS_BYTES, Counts, Scan, count, scan_of, skeleton
from scaling_rates import Rates, advance_pixel, advance_tile_pixel, measure, star

from ptychodask.distributed.cluster import connect
from ptychodask.model.place import Place

QUESTION = "a model of strong and weak scaling to 64 GPUs, of measured costs and counted bytes; no GPU was run"
N, SHARE, PCIE = 128, 0.5, 25e9
DEVICES = {"A100": 2.0e12, "H100": 3.0e12}
NETWORKS = {"NVLink": (300e9, 10e-6), "InfiniBand": (25e9, 5e-6), "10 GbE": (1.1e9, 50e-6)}
NODE = 8  # GPUs of a node
ASSUMED = {
    "device_memory_bytes_per_second": DEVICES,
    "share_that_kernels_reach": SHARE,
    "network_bytes_per_second_and_latency_seconds": NETWORKS,
    "host_to_device_bytes_per_second": PCIE,
    "electrons_and_bytes_of_a_pattern": [ELECTRONS, EVENTS_BYTES],
    "sources": "H100 3 TB/s and half of it: algorithms.md section 10. Data sheets: A100 80 GB 2.0 TB/s, its NVLink 300"
    " GB/s a direction, InfiniBand HDR 200 Gb/s, PCIe 4.0 x16 about 25 GB/s from pinned memory, 10 GbE less headers; a"
    " port for every GPU. Latencies of networks: guesses, far below Dask's. 300 bytes for 100 electrons: design.md."
    " NVLink joins devices only, and states and updates are NumPy arrays on the host: its column is what they could"
    " reach on the devices",
}
PUBLISHED = {  # PtyRAD on A100 80 GB: 16384 patterns of 128 x 128, S = 12, M = 6
    "seconds": {"1 GPU, batch 512": 8.0, "4 GPUs, batch 512": 2.4},
    "speed_up": {"2 GPUs, batch 32": 0.73, "2 GPUs, batch 512": 1.74, "4 GPUs, batch 512": 3.33},
}


def job_of(slices: int, modes: int, **rest: Any) -> dict[str, Any]:
    """Slices coupled by a Gaussian: the step is pooled, and the object may be kept in tiles."""
    return {
        "preset": "medium",
        "object": {"slices": slices, "thickness_angstrom": 10.0 * slices, "blur_angstrom": 0.45},
        "probe": {"modes": modes, "update_start": 1},
        **rest,
    }


def scan_at(path: Path, slices: int, modes: int, block: int) -> Scan:
    return scan_of(path, json.dumps(job_of(slices, modes, engine={"block": [block, block]})))


def pattern_seconds(slices: int, modes: int, device: str) -> dict[str, float]:
    """Not measured on any device: bytes over an assumed bandwidth."""
    unfused = (235 * slices * modes + 120 * modes) * N * N
    fused = bytes_of("chain", slices, modes, N) + 16 * modes * N * N  # the moving probe
    return {name: size / (SHARE * DEVICES[device]) for name, size in (("unfused", unfused), ("fused", fused))}


def predict(
    c: Counts, t: float, network: tuple[float, float], rates: Rates, pixel: float, pcie: float = PCIE
) -> tuple[float, str, dict[str, float]]:
    """Seconds of an iteration, the term that dominates, all terms."""
    bandwidth, latency = network
    parts = {
        "compute": c.patterns * t,
        "copies": c.copied / pcie,
        "overhead": c.tasks * rates.worker_task / c.workers + c.depth * (rates.level + latency),
        "down": c.down / bandwidth,
        "up": c.up / bandwidth,
        "merge": c.merged * rates.merge_byte,
        "advance": c.advanced * pixel,
    }
    scheduler, chain = c.tasks * rates.scheduler_task, sum(parts.values())
    largest = "scheduler" if scheduler > chain else max(parts, key=lambda name: parts[name])
    return max(scheduler, chain), largest, {**parts, "scheduler": scheduler}


@cache
def choices(path: Path, slices: int, modes: int, workers: int, mode: str) -> list[tuple[int, int | None, Counts]]:
    """A few sides of blocks and, where the object is in tiles, of tiles."""
    found: list[tuple[int, int | None, Counts]] = []
    for block in (16, 32, 64):
        scan = scan_at(path, slices, modes, block)
        least, longest = math.ceil(math.sqrt(workers)), max(scan.canvas.shape)
        sides = {max(N, math.ceil(longest / k)) for k in (least, least + 1, 2 * least, 4 * least)}
        for side in sorted(sides) if mode == "tiles" else [None]:
            found.append((block, side, count(scan, workers, side)))
    return found


def text(parts: dict[str, float]) -> str:
    return " ".join(f"{name} {seconds:.3g}" for name, seconds in parts.items())


def rows(
    name: str, scans: dict[int, Path], size: tuple[int, int], device: str, rates: Rates, advance: dict[str, float]
) -> list[dict[str, Any]]:
    """Seconds, and efficiency against one GPU with the same kernels and a whole object, which is faster there."""
    found: list[dict[str, Any]] = []
    first: dict[str, float] = {}
    for (workers, path), mode in product(scans.items(), ("whole", "tiles")):
        options, pixel = choices(path, *size, workers, mode), advance[f"{mode}, S = {size[0]}"]
        networks = {"none": (math.inf, 0.0)} if workers == 1 else NETWORKS
        for (kernels, t), (network, speed) in product(pattern_seconds(*size, device).items(), networks.items()):
            if network == "NVLink" and workers > NODE:
                continue
            tried = [(predict(c, t, speed, rates, pixel), block, side) for block, side, c in options]
            (seconds, largest, parts), block, side = min(tried, key=lambda its: its[0][0])
            speed_per_gpu = options[0][2].all_patterns / seconds / workers
            row = {"case": name, "device": device, "kernels": kernels, "object": mode, "network": network}
            row |= {"gpus": workers, "seconds": seconds}
            row |= {"efficiency": speed_per_gpu / first.setdefault(kernels, speed_per_gpu), "dominant": largest}
            row |= {"block": block, "tile_pixels": side, "default_seconds": min(i[0][0] for i in tried if i[1] == 16)}
            found.append({**row, "terms": text(parts)})
    return found


def sensitivity(
    path: Path, size: tuple[int, int], workers: int, rates: Rates, advance: dict[str, float]
) -> list[dict[str, Any]]:
    """How much longer an iteration gets where one input is twice as bad: InfiniBand, settings as they were."""
    found, speed = [], NETWORKS["InfiniBand"]
    for (kernels, t), mode in product(pattern_seconds(*size, "H100").items(), ("whole", "tiles")):
        pixel, options = advance[f"{mode}, S = {size[0]}"], [c for *_, c in choices(path, *size, workers, mode)]
        before, c = min(((predict(c, t, speed, rates, pixel)[0], c) for c in options), key=lambda its: its[0])
        worse = {
            "seconds per pattern": predict(c, 2 * t, speed, rates, pixel),
            "bandwidth of the network": predict(c, t, (speed[0] / 2, speed[1]), rates, pixel),
            "host to device": predict(c, t, speed, rates, pixel, PCIE / 2),
            "advance_pixel": predict(c, t, speed, rates, 2 * pixel),
        }
        for name in ("scheduler_task", "worker_task", "level", "merge_byte"):
            worse[name] = predict(c, t, speed, replace(rates, **{name: 2 * getattr(rates, name)}), pixel)
        more = text({name: its[0] / before - 1 for name, its in worse.items()})
        found.append({"kernels": kernels, "object": mode, "gpus": workers, "seconds": before, "longer_by": more})
    return found


def check(folder: Path, client: Client, workers: int, rates: Rates, tiny: bool) -> list[dict[str, Any]]:
    """Patterns dominate in one dataset, the object in the other; seconds per pattern are those of each run."""
    many, large = folder / "many.zarr", folder / "large.zarr"
    if not many.exists():
        memory.make(many, *((16, 64) if tiny else (48,)))
    cases: list[tuple[str, Path, tuple[int, int], int | None]] = [("patterns", many, (4, 2), None)]
    if not tiny:
        if not large.exists():
            tiles_benchmark.make(large, 40, 32, 16)
        cases += [("object", large, (8, 1), None), ("object", large, (8, 1), 340)]
    solver = {"iterations": 4 if tiny else 6, "finish": 0, "patience": 1000, "validation_fraction": None}
    found = []
    for name, path, size, tile in cases:
        job = job_of(*size, solver=solver, engine={"tile_pixels": tile, "checkpoint_every": 1000})
        scan = scan_of(path, json.dumps(job_of(*size)))
        pixel = advance_of(client, scan, tile, 1 if tiny else 3)
        wall, cpu, loop, kernels = run(client, path, job)
        c = replace(count(scan, workers, tile), copied=0.0)
        t = kernels / c.all_patterns
        rest = c.all_moved * rates.tcp_cpu_byte + c.tasks * rates.worker_task + c.all_merged * rates.merge_byte
        expected_cpu = kernels + rest + c.all_advanced * pixel
        expected, _, parts = predict(c, t, (1 / rates.tcp_byte, 0.0), rates, pixel)
        row = {"dominates": name, "object": "whole" if tile is None else "tiles", "workers": workers}
        row |= {
            "microseconds_per_pattern": t * 1e6,
            "computing_over_cpu": kernels / cpu,
            "event_loop_share": loop / cpu,
        }
        row |= {
            "cpu_seconds": cpu,
            "predicted_cpu_seconds": expected_cpu,
            "cpu_predicted_over_measured": expected_cpu / cpu,
        }
        row |= {"seconds": wall, "predicted_seconds": expected, "predicted_over_measured": expected / wall}
        found.append({**row, "terms": text(parts)})
    return found


def advance_of(client: Client, scan: Scan, tile: int | None, repeats: int) -> float:
    """Measured in a worker process: seconds per pixel and slice from merged sums to the next object."""
    job = (scan.shapes.info.path, scan.shapes.config.model_dump_json())
    if tile is None:
        return client.submit(advance_pixel, *job, repeats, pure=False).result()
    return client.submit(advance_tile_pixel, *job, tile, repeats, pure=False).result()


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Seconds per iteration against GPUs, with what perfect scaling would be."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.4), sharey=True, layout="constrained")
    titles = {"strong": "strong: 1024 x 1024 positions", "weak": "weak: 128 x 128 positions per GPU"}
    for axis, (case, title) in zip(axes, titles.items(), strict=True):
        for (kernels, colour), (mode, mark), (network, style) in product(
            {"unfused": "tab:blue", "fused": "tab:orange"}.items(),
            {"whole": "o", "tiles": "s"}.items(),
            {"InfiniBand": "-", "10 GbE": ":"}.items(),
        ):
            its = [r for r in found if (r["case"], r["kernels"], r["object"]) == (case, kernels, mode)]
            its = [r for r in its if r["network"] in (network, "none")]
            x, y = [r["gpus"] for r in its], [r["seconds"] for r in its]
            fill = colour if mode == "tiles" else "white"
            axis.plot(x, y, mark + style, color=colour, mfc=fill, ms=5, label=f"{kernels}, {mode}, {network}")
        for one in (r["seconds"] for r in found if r["case"] == case and r["gpus"] == 1 and r["object"] == "whole"):
            (ideal,) = axis.plot(x, [one / p if case == "strong" else one for p in x], color="0.6", lw=1, zorder=0)
        ideal.set_label("ideal")
        axis.set(xscale="log", yscale="log", xlabel="GPUs (H100, none was run)", title=f"{title}, S = 20, M = 6")
        axis.set_xticks(x, [str(p) for p in x])
        axis.minorticks_off()
        axis.grid(color="0.92")
    axes[0].set_ylabel("seconds per iteration (model)")
    axes[1].legend(fontsize=8, frameon=False, loc="upper left", ncols=1)
    figure.savefig(path, dpi=110)


def markdown(found: list[dict[str, Any]]) -> str:
    """The tables of the README, by case: for each kernels and object, its columns."""
    at = {(r["case"], r["kernels"], r["object"], r["gpus"], r["network"]): r for r in found}
    lines = []
    for gpus in (1, 2, 4, 8):
        cells = [f"{gpus}"]
        for kernels, mode in product(("unfused", "fused"), ("whole", "tiles")):
            one = at["as PtyRAD", kernels, "whole", 1, "none"]["seconds"]
            its = at["as PtyRAD", kernels, mode, gpus, "none" if gpus == 1 else "InfiniBand"]["seconds"]
            cells.append(f"{its:.2f} ({one / its:.2f} x)")
        lines.append(" | ".join(cells))
    columns = [(1, "none"), (8, "InfiniBand"), (16, "InfiniBand"), (64, "InfiniBand"), (64, "10 GbE")]
    for case, kernels, mode in product(("strong", "weak"), ("unfused", "fused"), ("whole", "tiles")):
        its_rows = [at[case, kernels, mode, *column] for column in columns]
        cells = [f"{r['seconds']:.3g} ({100 * r['efficiency']:.0f} %, {r['dominant']})" for r in its_rows]
        lines.append(" | ".join([f"{case}: {kernels}, {mode}", *cells]))
    return "\n".join(f"| {line} |" for line in lines)


def everything(folder: Path, tiny: bool) -> dict[str, Any]:
    base = skeleton(folder, (16, 16) if tiny else (128, 128))
    one, sides = scan_at(base, 20, 6, 16), ((16, 16),) if tiny else ((128, 128), (128, 256), (256, 256), (256, 512))
    with connect(place=Place(workers=2, threads=1)) as client:
        rates = measure(client, tiny)
        advance = {
            f"{mode}, S = {s}": advance_of(client, scan_at(base, s, 6, 16), tile, 1 if tiny else 3)
            for s, (mode, tile) in product((12, 20), (("whole", None), ("tiles", 96 if tiny else 272)))
        }
        checked = check(folder, client, 2, rates, tiny)
    if not tiny:
        with connect(place=Place(workers=1, threads=1)) as client:
            checked = [*check(folder, client, 1, rates, tiny), *checked]
    here = advance_pixel(one.shapes.info.path, one.shapes.config.model_dump_json(), 3)
    if not tiny:
        sides += ((512, 512), (512, 1024), (1024, 1024))
    weak = {2**i: skeleton(folder, side) for i, side in enumerate(sides)}
    largest, gpus = skeleton(folder, sides[-1]), max(weak)
    found = rows("as PtyRAD", {p: base for p in weak if p <= NODE}, (12, 6), "A100", rates, advance)
    found += rows("strong", {p: largest for p in weak}, (20, 6), "H100", rates, advance)
    found += rows("weak", weak, (20, 6), "H100", rates, advance)
    frames = count(scan_at(largest, 20, 6, 64), gpus, 428)
    return {
        "measured": {**asdict(rates), "advance_pixel": advance, "advance_pixel_outside_a_worker": here},
        "copies_of_a_model_that_one_worker_sends": star(),
        "assumed": ASSUMED,
        "microseconds_per_pattern": {
            f"{device}, S = {s}": {k: v * 1e6 for k, v in pattern_seconds(s, 6, device).items()}
            for device, s in (("A100", 12), ("H100", 20))
        },
        "published": PUBLISHED,
        "check": checked,
        "sensitivity": sensitivity(largest, (20, 6), gpus, rates, advance),
        "bytes_between_tiles": {"counted": frames.between_tiles, "by_the_fit": frames.between_tiles_by_fit},
        "rows": found,
    }


if __name__ == "__main__":
    options = arguments(QUESTION)
    with tempfile.TemporaryDirectory() as name:
        result = everything(Path(name), options.tiny)
    save("scaling_model", QUESTION, result, options)
    if not options.tiny:
        print(markdown(result["rows"]))
        draw(result["rows"], (options.out or RESULTS / "scaling_model.json").with_suffix(".png"))
