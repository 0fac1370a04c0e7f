"""The package's layers, what importing it must not load, and what its sources have in common."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import ptychodask
import ptychodask.api

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


SOURCES = sorted(PACKAGE.rglob("*.py"))
FOREIGN = {
    "_cache",
    "_cache_file",
    "_exit",
    "_expects_comm",
    "_getframe",
    "_impl",
    "_meta",
    "_pyfunc",
    "_replace",
}
"""Attributes of other packages: public ones that look private, and the few private ones without which we cannot do."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def defined(module: ast.AST) -> set[str]:
    """Functions, classes and fields; not what is only set on ``self``, which is for methods of that class."""
    functions = {n.name for n in ast.walk(module) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    targets = (n.target for n in ast.walk(module) if isinstance(n, ast.AnnAssign))
    return functions | {target.id for target in targets if isinstance(target, ast.Name)}


def set_on_self(node: ast.AST) -> dict[ast.AST, set[str]]:
    """For everything inside a class, what its methods set on ``self``."""
    found: dict[ast.AST, set[str]] = {}
    for kind in (n for n in ast.walk(node) if isinstance(n, ast.ClassDef)):
        attributes = [n for n in ast.walk(kind) if isinstance(n, ast.Attribute)]
        names = {n.attr for n in attributes if isinstance(n.ctx, ast.Store) and of_self(n)}
        found |= dict.fromkeys(attributes, names)
    return found


def test_what_is_private_is_used_where_it_is_defined():
    """Attributes and imports with a leading underscore; modules such as ``_array`` are for the whole package."""
    found, modules = [], {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    for path in SOURCES:
        here, of_class = defined(tree(path)) | FOREIGN, set_on_self(tree(path))
        for node in ast.walk(tree(path)):
            names: set[str] = set()
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names} - modules
            elif isinstance(node, ast.Attribute) and not of_self(node):
                names = {node.attr} - here - of_class.get(node, set())
            private = sorted(name for name in names if re.match("_[^_]", name))
            found += [f"{path.relative_to(PACKAGE)}:{node.lineno}: {name}" for name in private]
    assert not found, "give it a public name, or make it a free function:\n" + "\n".join(found)


def test_a_function_of_physics_and_model_has_a_name_of_its_own():
    names: Counter[str] = Counter()
    for room in ("physics", "model"):
        for path in (PACKAGE / room).rglob("*.py"):
            names.update({node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)})
    assert [name for name, files in names.items() if files > 1 and not name.startswith("_")] == []


def docstrings(module: ast.Module) -> list[ast.Constant]:
    """Of modules, classes and functions, and those under the names of constants and fields."""
    return [
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def test_docstrings_are_of_one_dialect():
    """Code is in double backticks; a single one only follows a role, as in :func:`name`."""
    single, found = re.compile(r"(?<![`:\w])`(?!`)[^`]+`(?!`)"), []
    for path in SOURCES:
        for text in docstrings(tree(path)):
            found += [f"{path.relative_to(PACKAGE)}:{text.lineno}: {m[0]}" for m in single.finditer(text.value)]
    assert not found, "\n".join(found)


def test_fields_are_explained_in_docstrings():
    """Not in comments behind them, which no help text shows."""
    found = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
                texts = [(n.end_lineno, lines[n.end_lineno - 1][n.end_col_offset :]) for n in fields]
                found += [
                    f"{path.relative_to(PACKAGE)}:{at}"
                    for at, text in texts
                    if re.search(r"#(?! (noqa|type|fmt))", text)
                ]
    assert not found, "\n".join(found)


def imported(path: Path) -> set[str]:
    """What a module of a room imports from others at run time: ``api``, ``jobs.plan.refuse``, ..."""
    typing = (n for n in ast.walk(tree(path)) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    left_out = {inner for block in typing for inner in ast.walk(block)}
    nodes = [n for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom) and n.level == 2 and n not in left_out]
    return {".".join(filter(None, [node.module, alias.name])) for node in nodes for alias in node.names}


def test_the_command_line_computes_through_the_public_functions():
    """What it takes besides is in the docstring of ``ptychodask.api``."""
    found = {name for path in (PACKAGE / "cli").glob("*.py") for name in imported(path)}
    rooms = {name.split(".")[0] for name in found if not name.startswith("_")}
    assert rooms == {"api", "model", "io", "analysis", "viz", "jobs"}
    assert {name for name in found if name.startswith("model.")} <= {
        "model.config.JobConfig",
        "model.config.commented_default",
    }
    assert {name for name in found if name.startswith("jobs.")} == {"jobs.plan.refuse", "jobs.taken_back.take_back"}


def test_public_functions_are_those_of_the_api():
    assert sorted(ptychodask._FUNCTIONS) == sorted(ptychodask.api.__all__)
    assert all(getattr(ptychodask, name) is getattr(ptychodask.api, name) for name in ptychodask._FUNCTIONS)
