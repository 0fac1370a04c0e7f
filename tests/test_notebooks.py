"""Every notebook runs from its first cell to its last at a small size, and none has outputs in the repository."""

from __future__ import annotations

import json
import sys
import types
import warnings
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

ROOT = Path(__file__).parents[1]
if not (ROOT / "notebooks").is_dir():
    pytest.skip("not a checkout", allow_module_level=True)
sys.path.insert(0, str(ROOT / "notebooks"))
import run  # noqa: E402

SMALL = {
    "first_image": "scan_shape, detector_pixels, thickness = (16, 16), 64, 17",
    "cluster": "scan_shape, detector_pixels, thickness = (16, 16), 64, 17; processes = False; iterations = 6",
    "raw_file": "scan_shape = (16, 16); job = {'object': {'regularisation': 'blur'}, 'solver': {'iterations': 4}}",
    "optics": "material, thickness = 'zif-8', 17; angles, defoci, doses = (7.5, 10), (0, 600), (1, 100)",
    "believe": "scan_shape, detector_pixels, thickness = (16, 16), 64, 17",
    "local_structure": "scan_shape, detector_pixels = (46, 46), 64; cells = 5",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What notebooks share: a scan is simulated once."""
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))])
def test_outputs_are_stripped(name):
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in book["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None, cell["id"]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in book["cells"]) == 1
    assert name in SMALL, "say at which size it is tested"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ptychodask.PtychodaskWarning")
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(name, data, monkeypatch):
    import matplotlib.pyplot as plt

    pytest.importorskip("abtem")
    if "IPython" not in sys.modules:  # a cell shows a file that was drawn; without Jupyter it has nowhere to show it
        display = types.ModuleType("IPython.display")
        display.Image = lambda path: Path(path).read_bytes()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
        monkeypatch.setitem(sys.modules, "IPython.display", display)
    drawn = []

    def after(cell: int) -> None:
        drawn.extend(plt.get_fignums())
        plt.close("all")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.execute(name, f"folder = Path({str(data)!r}); {SMALL[name]}", after)
    assert drawn
