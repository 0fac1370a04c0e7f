"""What a run loses by iteration, for who compares many runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..events import Iterated, Warned


@dataclass
class Curves:
    """Observes a run: what it loses by iteration, also of one that diverges."""

    loss: dict[int, float] = field(default_factory=dict)
    validation: dict[int, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    patterns: float = 0.0

    def iterated(self, event: Iterated) -> None:
        if event.stage == "fit":
            self.loss[event.iteration], self.validation[event.iteration] = event.loss, event.validation
            self.patterns = event.patterns

    def warned(self, event: Warned) -> None:
        self.warnings.append(event.text)
