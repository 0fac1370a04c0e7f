"""Environments of the peers, each of its own, from PyPI with pinned versions; and how a peer's runner is run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PEERS = {
    "ptyrad": ["ptyrad==1.0.0"],
    "phaser": ["phaserEM[jax]==0.3.1"],
    "ptychi": ["ptychi==2.2.0"],
    "py4dstem": ["py4DSTEM==0.14.18"],
    "quantem": ["quantem==0.1.10"],
}


def python_for(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def newest_python() -> str:
    """python3.12 where that runs (a version manager may leave a name that does not), else this Python."""
    found = shutil.which("python3.12")
    runs = found and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
    return found if found and runs else sys.executable


def environment(peer: str, folder: Path, constraints: Sequence[str] = ()) -> list[str]:
    """Make the environment of a peer where it is absent, within pip's ``constraints``; notes of what was done to it."""
    python = python_for(folder)
    if not python.exists():
        try:
            subprocess.run([newest_python(), "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
            file = folder / "constraints.txt"
            file.write_text("".join(f"{line}\n" for line in constraints))
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(file)]
            subprocess.run([*install, *PEERS[peer]], check=True, capture_output=True, text=True)
        except (subprocess.CalledProcessError, OSError):
            shutil.rmtree(folder, ignore_errors=True)  # half an environment would look like a whole one next time
            raise
    return repair_ptyrad(folder) if peer == "ptyrad" else []


def repair_ptyrad(folder: Path) -> list[str]:
    """PtyRAD 1.0.0 has an f-string with the same quotes inside, which Python 3.11 refuses: change those quotes."""
    version = subprocess.run([str(python_for(folder)), "-V"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("Python 3.11"):
        return []
    for path in folder.glob("lib/python*/site-packages/ptyrad/plotting/basic.py"):
        text = path.read_text(encoding="utf-8")
        mended = re.sub(r"(f'[^'\n]*)\{lr_iters\['niter'\]\[-1\]\}'", r"""\1{lr_iters["niter"][-1]}'""", text)
        if mended != text:
            path.write_text(mended, encoding="utf-8")
        if '{lr_iters["niter"][-1]}' in mended:
            return [
                "one pair of quotes in ptyrad/plotting/basic.py is changed: Python 3.11 refuses the file as released"
            ]
    return []


def on_cores(count: int) -> Callable[[], None] | None:
    """Keep a peer to as many cores as threads: some libraries take all that they see."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))[:count]
    return lambda: os.sched_setaffinity(0, cores)


def reason(error: Exception) -> str:
    """Last line of what a failed process said."""
    said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return said[-1][:300] if said else type(error).__name__


def run(runner: Path, python: Path, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a peer's runner on the parameters ``given``; its last line is the answer, or ``failed`` says the reason."""
    file = folder / "parameters.json"
    file.write_text(json.dumps(given))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(given["threads"]))
    try:
        done = subprocess.run(
            [str(python), str(runner), str(file)], capture_output=True, text=True, check=True, cwd=folder,
            env={**os.environ, **threads, "PYTHONPATH": ""}, preexec_fn=on_cores(given["threads"]),
        )  # fmt: skip
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.CalledProcessError, OSError, ValueError, IndexError) as error:
        return {"failed": reason(error)}
