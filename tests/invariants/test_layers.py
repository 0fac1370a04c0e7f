"""The package's layers, and what importing it must not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ptychodask

ROOT = Path(__file__).parents[2]
PACKAGE = Path(ptychodask.__file__).parent


def run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_import_contracts():
    """The layers and forbidden imports that pyproject.toml states."""
    pytest.importorskip("importlinter")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    run(
        "import sys\n"
        "from importlinter import cli\n"
        "sys.exit(cli.lint_imports(config_filename='pyproject.toml', no_cache=True))"
    )


HEAVY = ("distributed", "dask", "abtem", "matplotlib", "cupy", "zarr", "xarray", "numba", "ase")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("ptychodask", HEAVY),
        ("ptychodask.solver.lsqml", [name for name in HEAVY if name != "numba"]),
        ("ptychodask.physics.probe", HEAVY),
        ("ptychodask.model.config", HEAVY),
    ],
)
def test_import_is_light(module, heavy):
    loaded = run(f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))").split()
    assert "ptychodask" in loaded
    assert sorted(set(heavy) & set(loaded)) == []


def test_cupy_is_not_imported_for_numpy():
    code = (
        "import sys, numpy as np\n"
        "from ptychodask import _array\n"
        "a = np.ones((2, 4, 4), complex)\n"
        "_array.namespace(a), _array.backend_module('numpy'), _array.to_host(_array.ifft2(_array.fft2(a)))\n"
        "print('cupy' in sys.modules)"
    )
    assert run(code).strip() == "False"
