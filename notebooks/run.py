"""Execute the cells of a notebook in this process, without Jupyter: for the tests, and for the pictures of the pages.

``python notebooks/run.py [NAME ...]`` runs them at their own sizes in the folder ``ptychodask-data``, and writes what
they draw to ``docs/pictures``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent / "docs" / "pictures"


def execute(name: str, changes: str = "", after: Callable[[int], Any] = lambda cell: None) -> dict[str, Any]:
    """Run a notebook's cells in their order, and give their names.

    Parameters
    ----------
    name : str
        File without its ending.
    changes : str
        Lines that run after the cell that is tagged ``parameters``.
    after : callable
        Called with the number of every code cell that has run.
    """
    book = json.loads((HERE / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"{name}.ipynb, cell {number}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            exec(changes, names)
        after(number)
    return names


def main() -> None:
    """Take the pictures."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt

    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.ipynb")):
        for old in PICTURES.glob(f"{name}-*"):
            old.unlink()

        def keep(cell: int, name: str = name) -> None:
            for figure in plt.get_fignums():
                target = PICTURES / f"{name}-{cell}-{figure}.jpg"
                plt.figure(figure).savefig(target, dpi=80, pil_kwargs={"quality": 85})
            plt.close("all")

        PICTURES.mkdir(exist_ok=True)
        execute(name, after=keep)


if __name__ == "__main__":
    main()
