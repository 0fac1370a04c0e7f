"""What a run has seen, and which of its states it may still need: to go on from, or to return."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..solver.stopping import Record, within_reach

MOST_STATES = 8
"""States that are held in memory because they may be returned; further ones are computed again."""
MOST_CHECKPOINTS = 5
"""Checkpoints that are kept on disk, besides those that were just made."""


@dataclass
class Log:
    """Kept in the run folder beside the checkpoints. The one mutable thing of a run."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    chosen: int | None = None
    """Iteration that the fit returned, once it is decided."""
    reason: str = ""
    floor: int = 0
    """No state before this iteration can be returned: the last restart gave them up."""
    warnings: list[str] = field(default_factory=list)
    stops_early: bool = True
    """Do held-out electrons choose the iteration that is returned? Else the last is."""
    compares_from: int = 0
    """Losses of earlier iterations have another epsilon."""

    def stored(self) -> dict[str, Any]:
        """What goes to the disk; the rest follows of the job."""
        kept = asdict(self)
        del kept["stops_early"], kept["compares_from"]
        return kept

    @property
    def records(self) -> list[Record]:
        """Records of the fit, the state before the first update included."""
        names = ("iteration", "loss", "validation", "patterns", "power")
        found = [Record(**{n: e[n] for n in names}) for e in self.entries if e["stage"] == "fit"]
        return found if self.stops_early else [replace(r, validation=math.nan) for r in found]

    @property
    def comparable(self) -> list[Record]:
        """Records whose losses can be compared with the last."""
        found = self.records
        since = self.compares_from if found[-1].iteration >= self.compares_from else 0
        return [r for r in found if r.iteration >= since]

    @property
    def candidates(self) -> list[Record]:
        """Records of the states that can still be returned."""
        return [r for r in self.records if r.iteration >= self.floor]

    @property
    def reach(self) -> list[int]:
        """Iterations of which one will be returned unless better ones come; first the one that would be now."""
        candidates = self.candidates
        return [candidates[i].iteration for i in within_reach(candidates)]

    @property
    def next(self) -> int:
        """The iteration that is looked at next."""
        if self.chosen is not None:
            finish = [e["iteration"] for e in self.entries if e["stage"] == "finish"]
            return (finish[-1] if finish else self.chosen) + 1
        return self.entries[-1]["iteration"] + 1 if self.entries else self.floor

    def newest(self, checkpoints: Collection[int]) -> int | None:
        """The checkpoint that a resumed run starts from: after it, entries before it would be missing."""
        return max((i for i in checkpoints if i <= self.next), default=None)

    def before(self, iteration: int, stored: Collection[int]) -> int | None:
        """The nearest of the states stored that leads to ``iteration``."""
        return max((i for i in stored if self.floor <= i <= iteration), default=None)

    def back_to(self, iteration: int) -> None:
        """Forget what was seen in this stage from ``iteration`` on."""
        stage = "fit" if self.chosen is None else "finish"
        self.entries = [e for e in self.entries if e["stage"] != stage or e["iteration"] < iteration]

    def fit_again(self) -> None:
        """Forget that the fit had come to its end."""
        self.chosen = None
        self.entries = [e for e in self.entries if e["stage"] == "fit"]

    def restart(self, iteration: int) -> None:
        """Go on from ``iteration`` in another way: later states are void, and earlier ones lead elsewhere."""
        self.back_to(iteration)
        self.floor = iteration
        self.restarts += 1

    def superfluous(self, checkpoints: Collection[int]) -> list[int]:
        """Checkpoints that no run starts from, and that lead to no state that may be returned.

        Where too many lead to one, those that save the least computing go.
        """
        decided = self.chosen in checkpoints
        wanted = [self.chosen] if decided else [self.before(i, checkpoints) for i in self.reach]
        kept = sorted({i for i in (*wanted, self.newest(checkpoints)) if i is not None})
        while len(kept) > MOST_CHECKPOINTS:
            del kept[min(range(1, len(kept) - 1), key=lambda n: kept[n + 1] - kept[n - 1])]
        return [i for i in checkpoints if i not in kept and i <= self.next]
