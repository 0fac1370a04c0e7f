"""When to stop, which iteration to return, and when a run has diverged: pure functions of the history.

Validation is the loss of held-out electrons. For two near models whose expected log-likelihoods differ by D nats, the
measured difference has a standard error of sqrt(2 D) (each electron's log ratio is small), so a gain below
``SIGNIFICANT = 2`` nats in all is within one standard error of none. The rule is the one-standard-error rule of model
selection: return the *earliest* iteration that is within 2 nats of the best, since later ones fit more noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SIGNIFICANT = 2.0
"""Nats in all held-out electrons."""
LOSS_GAIN, LOSS_SPAN = 1e-4, 10
"""Without validation: stop when the loss falls by less than this share over so many iterations."""
LOSS_RISE, START_SHARE = 0.05, 0.01
"""Diverged: the loss rises by 5 % of its recent minimum plus 1 % of the first loss."""
POWER_RANGE = (0.8, 1.25)


@dataclass(frozen=True)
class Record:
    """What one iteration is judged by.

    ``loss`` and ``validation`` are means per pattern (validation NaN where nothing is held out), ``power`` is predicted
    intensity over counted electrons.
    """

    iteration: int
    loss: float
    validation: float
    patterns: float
    power: float


def chosen(records: Sequence[Record]) -> int:
    """Index of the record whose state is to be returned: see above; the last one without validation."""
    totals = [r.validation * r.patterns for r in records]
    finite = [t for t in totals if math.isfinite(t)]
    if not finite:
        return len(records) - 1
    bound = min(finite) + SIGNIFICANT
    return next(i for i, t in enumerate(totals) if t <= bound)


def within_reach(records: Sequence[Record]) -> list[int]:
    """Indices of the records that :func:`chosen` can still give when more come, rising; the first is the one now.

    A lower bound moves the choice to the first record below it, which is better than all before it.
    """
    if not records:
        return []
    first = chosen(records)
    found, best = [first], records[first].validation * records[first].patterns
    for i, record in enumerate(records[first + 1 :], first + 1):
        total = record.validation * record.patterns
        if total < best:
            found.append(i)
            best = total
    return found


def stop_reason(records: Sequence[Record], patience: int, settled: int = 0) -> str | None:
    """Why to stop now, or None; patience counts from the iteration ``settled`` on, before which not all may move."""
    if math.isfinite(records[-1].validation):
        if records[-1].iteration - max(records[chosen(records)].iteration, settled) >= patience:
            return f"no significant gain on held-out electrons for {patience} iterations"
        return None
    if len(records) > LOSS_SPAN:
        before, now = records[-1 - LOSS_SPAN].loss, records[-1].loss
        if before - now < LOSS_GAIN * abs(before):
            return f"the loss fell by less than {LOSS_GAIN:g} of itself in {LOSS_SPAN} iterations"
    return None


def divergence(records: Sequence[Record]) -> str | None:
    """What shows that the run has diverged, or None."""
    last = records[-1]
    if not math.isfinite(last.loss):
        return f"the loss is {last.loss}"
    recent = min(r.loss for r in records[-4:])
    if last.loss > recent + LOSS_RISE * abs(recent) + START_SHARE * abs(records[0].loss):
        return f"the loss rose from {recent:.6g} to {last.loss:.6g}"
    if not POWER_RANGE[0] <= last.power <= POWER_RANGE[1]:
        return f"the predicted intensity is {last.power:.3g} of the counted electrons"
    return None
