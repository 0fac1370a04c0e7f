"""The live page of a run: what it says of the run, and that it is there, or why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._text import first_line, printable
from ..distributed.cluster import describe
from ..distributed.dashboard import page_link
from ..live import tab
from ..live.page import Page
from ..live.picture import Frame
from ..model.tiles import Rect
from .observers import Reporter
from .run import Run


@dataclass(frozen=True)
class Showing:
    """Where a run can be watched, or a remark why it cannot; both empty where that was not asked for."""

    link: str | None = None
    remark: str = ""


@contextmanager
def showing(
    client: Any, now: Callable[[], Run], report: Reporter, ends: str = "finished: the result is written"
) -> Iterator[Showing]:
    """Show a run on the dashboard while the context lasts, if its job wants that and the scheduler can.

    ``now`` gives the run as it is: a geometry that is found first makes another one of it. ``ends`` is the last line.
    """
    run = now()
    status = describe(client)["dashboard"]
    tells, takers = run.config.engine.live_page and status is not None, report.picture_takers
    if not (tells or takers):
        yield Showing()
        return
    page = Page(client, about(run, client), lambda: frame_of(now()), lambda: now().newest, takers, tells)
    remark = f"no live page on the scheduler's dashboard ({page.trouble}); the run goes on without"
    link = page_link(status, tab.NAME) if tells and not page.trouble else None
    report.add(page)
    end = "stopped"
    try:
        yield Showing(link, remark if page.trouble else "")
        end = ends
    except KeyboardInterrupt:
        end = "interrupted"
        raise
    except Exception as error:
        end = f"stopped: {first_line(error)}"
        raise
    finally:
        page.close(end)


def frame_of(run: Run) -> Frame:
    """What is shown of the object: all of it, with the part that was scanned."""
    experiment = run.experiment
    low, high = np.floor(experiment.centres.min(axis=0)), np.ceil(experiment.centres.max(axis=0)) + 1
    scan = Rect(int(low[0]), int(high[0]), int(low[1]), int(high[1]))
    return Frame(experiment.canvas, scan, tuple(tile.core for tile in run.states.plan.tiles))


def about(run: Run, client: Any) -> dict[str, Any]:
    """What a page says of the run as a whole, as plain values."""
    experiment, said = run.experiment, run.info.attributes
    site = describe(client)
    return {
        "title": printable(said.get("specimen") or Path(run.info.path).stem, 60),
        "data": printable(run.info.path, 120),
        "patterns": experiment.patterns,
        "electrons_per_pattern": experiment.electrons_per_pattern,
        "dose_per_square_angstrom": experiment.dose,
        "slices": experiment.slices,
        "modes": run.config.probe.modes,
        "iterations": run.config.solver.iterations,
        "pixel_angstrom": experiment.canvas.pixel,
        "cutoff_per_angstrom": experiment.microscope.semi_angle / experiment.microscope.wavelength,
        "workers": site["workers"],
        "threads": site["threads"],
    }
