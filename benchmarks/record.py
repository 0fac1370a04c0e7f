"""What every benchmark shares: the record of machine, versions and commit, and the JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("ptychodask", "numpy", "scipy", "numba", "dask", "distributed", "zarr", "xarray", "abtem")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit, "-dirty" where files differ from it; results that other scripts have just written do not count.

    A copy without that history is told its commit by ``BENCHMARK_COMMIT``.
    """
    if "BENCHMARK_COMMIT" in os.environ:
        return os.environ["BENCHMARK_COMMIT"]
    git = ["git", "-C", str(Path(__file__).parents[1])]
    found = subprocess.run([*git, "describe", "--always"], capture_output=True, text=True, check=False).stdout.strip()
    others = [*git, "diff", "--quiet", "HEAD", "--", ".", ":(exclude)benchmarks/results"]
    dirty = subprocess.run(others, capture_output=True, check=False).returncode == 1
    return (found or "unknown") + ("-dirty" if dirty else "")


def machine() -> dict[str, Any]:
    """Processor, cores, Python, package versions, commit and date."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": _versions(),
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def arguments(
    question: str,
    *,
    keeps_data: bool = False,
    takes_patterns: bool = False,
    takes_seeds: bool = False,
    takes_semi_angle: bool = False,
) -> argparse.Namespace:
    """``--tiny`` (a smoke run, for the tests), ``--out`` (JSON file; results/NAME.json by default), ``--data``,
    ``--patterns``, ``--seeds`` and ``--semi-angle`` where they are asked for."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument(
        "--tiny", action="store_true", help="smallest size: shows that the script runs, measures nothing"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    if keeps_data:
        parser.add_argument("--data", type=Path, help="folder that keeps the datasets; a temporary one by default")
    if takes_patterns:
        parser.add_argument("--patterns", type=int, help="most patterns of a scan; all by default")
    if takes_seeds:
        parser.add_argument("--seeds", type=int, help="how often the noise is drawn")
    if takes_semi_angle:
        parser.add_argument("--semi-angle", type=float, help="only runs of this semi-angle, mrad; all by default")
    return parser.parse_args()


def save(name: str, question: str, result: Any, options: argparse.Namespace) -> None:
    """Print and write the result; a tiny run writes only where ``--out`` says."""
    record = {"benchmark": name, "question": question, "tiny": options.tiny, "machine": machine(), "result": result}
    text = json.dumps(record, indent=2)
    print(text)
    path = options.out or (None if options.tiny else RESULTS / f"{name}.json")
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
