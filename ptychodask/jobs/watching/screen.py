"""What is seen of a scan that grows: rounds, each with a line, a picture and the live page."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from ...events import Arrived
from ...model.config import JobConfig
from ..observers import Reporter
from ..showing import Showing, showing
from .calibrated import Calibrating
from .follow import Follower
from .grown import Grown
from .rounds import Rounds


class Screen:
    """The rounds, and how they are shown: a line, a picture and the live page for each."""

    def __init__(
        self,
        job: JobConfig,
        picture: Path | None,
        calibrates: bool,
        grown: Grown,
        report: Reporter,
        pages: ExitStack,
        follower: Follower,
    ) -> None:
        self._job, self._picture, self._calibrates = job, picture, calibrates
        self._grown, self._report, self._pages, self._follower = grown, report, pages, follower
        self._rounds: Rounds | None = None
        self._shown = Showing()
        self._calibrating = Calibrating(grown, report)
        self.rows = 0
        """That the last picture shows."""

    @property
    def iteration(self) -> int:
        """Updates that made the newest state."""
        return max(self._grown.folder.states.checkpoints(), default=0)

    def round(self) -> None:
        """One more."""
        rows, width = self._grown.rows, self._grown.scan[1]
        since = self._follower.since(rows * width)
        if self._calibrates and self._calibrating.due():
            self._calibrating.find()
            self._rounds = None  # the canvas may be another
        if self._rounds is None:
            self._begin()
        assert self._rounds is not None
        made, path = self._rounds.go(), self._picture
        self.rows = made.rows
        if path is not None:
            title = f"{self._grown.name}: {made.rows} of {self._grown.scan[0]} rows, iteration {made.iteration}"
            self._rounds.draw(path, title)
        behind = time.monotonic() - since
        self._report(
            Arrived(
                made.rows, self._grown.scan[0], behind, made.loss, made.iteration, str(path or ""), self._shown.link
            )
        )

    def _begin(self) -> None:
        """Rounds on a canvas, with a live page."""
        self._rounds = rounds = Rounds(self._grown, self._job, self._report)
        self._pages.close()
        page = showing(self._grown.client, lambda: rounds.run, self._report, "these rounds are over: others follow")
        self._shown = self._pages.enter_context(page)
