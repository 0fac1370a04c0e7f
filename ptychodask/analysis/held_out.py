"""What held-out electrons say of trials: which cannot be told from the best, and what that means for an option.

For two near models whose expected log-likelihoods differ by D nats, the measured difference has a standard error of
sqrt(2 D): below D = 2 nats it is within one standard error of none (see :mod:`ptychodask.solver.stopping`). Around the
best value x0 of one number, D = (x - x0)^2 / (2 sigma^2) gives the standard error sigma of x0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..model.search import Choice, Option, Span
from ..solver.stopping import SIGNIFICANT

NEAR = 60.0
"""Nats above the best within which a parabola is fitted."""
WIDE = 0.8
"""Share of a range: where values so far apart cannot be told apart, nothing is known."""


def above_best(nats: Sequence[float]) -> np.ndarray:
    """Nats of all held-out electrons above the smallest; NaN where a trial has none."""
    values = np.asarray(nats, dtype=float)
    return values - np.nanmin(values) if np.isfinite(values).any() else values


def verdict(option: Option, values: Sequence[Any], above: np.ndarray, alone: bool) -> str:
    """What the data say of an option, in one line.

    Parameters
    ----------
    option : Span or Choice
    values : sequence
        Of the option, in the trials.
    above : array
        Nats above the best trial.
    alone : bool
        Is it the only option, so that nothing else moved?
    """
    sound = np.isfinite(above)
    if sound.sum() < 2:
        return f"{option.name}: too few trials to compare"
    alike = [value for value, near in zip(values, sound & (above < SIGNIFICANT), strict=True) if near]
    best = values[int(np.nanargmin(above))]
    if isinstance(option, Choice):
        others = list(dict.fromkeys(value for value in alike if value != best))
        if not others:
            return f"{option.name} = {best}: every other value is more than {SIGNIFICANT:g} nats worse"
        return (
            f"{option.name}: the data cannot tell {best} from {', '.join(map(str, others))} (within"
            f" {SIGNIFICANT:g} nats of held-out electrons)"
        )
    low, high = min(alike), max(alike)
    if _share(option, low, high) >= WIDE or len(alike) == int(sound.sum()):
        return (
            f"{option.name}: the data cannot tell, trials from {low:.4g} to {high:.4g} are within"
            f" {SIGNIFICANT:g} nats of held-out electrons"
        )
    told = f"{option.name} = {best:.4g}: trials from {low:.4g} to {high:.4g} cannot be told from it"
    if low == high:
        told = f"{option.name} = {best:.4g}: every other value is more than {SIGNIFICANT:g} nats worse"
    fitted = parabola(values, above) if alone else None
    if fitted is not None and option.low <= fitted[0] <= option.high:
        told += f"; a parabola through the held-out losses has its smallest at {fitted[0]:.4g} +- {fitted[1]:.2g}"
    at_end = best in (option.low, option.high)
    return told + ("; it is an end of the range: search beyond" if at_end else "")


def parabola(values: Sequence[Any], above: np.ndarray) -> tuple[float, float] | None:
    """Value of the smallest held-out loss and its standard error, by least squares near the best; None without one."""
    x = np.asarray(values, dtype=float)
    near = np.isfinite(above) & (above < NEAR)
    if len(set(x[near].tolist())) < 4:
        return None
    a, b, _ = np.polyfit(x[near], above[near], 2)
    return None if a <= 0 else (float(-b / (2 * a)), float(1 / math.sqrt(2 * a)))


def _share(option: Span, low: float, high: float) -> float:
    if option.log:
        return math.log(high / low) / math.log(option.high / option.low)
    return (high - low) / (option.high - option.low)


def columns(options: Sequence[Option], trials: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Title and texts of every column of a table of trials, best first."""
    above = above_best([trial["nats"] for trial in trials])
    order = np.argsort(np.where(np.isfinite(above), above, np.inf), kind="stable")

    def text(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    found = [("trial", [str(trials[i]["number"]) for i in order])]
    found += [(option.name, [text(trials[i]["values"][option.name]) for i in order]) for option in options]
    found.append(("nats above the best", [f"{above[i]:.1f}" if np.isfinite(above[i]) else "-" for i in order]))
    found.append(("held-out loss", [f"{t['validation']:.4f}" for t in (trials[i] for i in order)]))
    found.append(("iterations", [str(trials[i]["iterations"]) for i in order]))
    found.append(("seconds", [f"{trials[i]['seconds']:.0f}" for i in order]))
    if any(trial["remark"] for trial in trials):
        found.append(("remark", [trials[i]["remark"][:60] for i in order]))
    return found
