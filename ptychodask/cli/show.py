"""What the command line prints besides what :mod:`ptychodask.viz.live` shows: warnings and the summary line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..viz import live
from ..viz.live import console, steps

__all__ = ["console", "reconstruction", "steps", "summary", "warning"]


def warning(text: str) -> None:
    """One line."""
    console.print(f"warning: {text}", soft_wrap=True)


def reconstruction() -> AbstractContextManager[live.Reconstruction]:
    """Shows a run: gives the callable for its events."""
    return live.reconstruction(warning)


def summary(result: Any, figures: dict[str, Any], seconds: float) -> str:
    """One line with the figures that matter."""
    parts = [f"iteration {result.iteration} of {len(result.history)}", f"loss {figures['loss']:.4f}"]
    if figures.get("validation") is not None:
        parts.append(f"validation {figures['validation']:.4f}")
    limit = figures.get("information_limit_angstrom") or figures.get("peak_limit_angstrom")
    if limit:
        parts.append(f"information to {limit:.2f} Å")
    if figures.get("correlation_2.5A") is not None:
        parts.append(f"correlation with the truth {figures['correlation_2.5A']:.3f} at 2.5 Å")
    if figures.get("frc_resolution_angstrom") is not None:
        parts.append(f"FRC {figures['frc_resolution_angstrom']:.2f} Å")
    if "not_compared" in figures:
        parts.append("not compared with the truth: the scan is too small")
    if result.warnings:
        parts.append(f"{len(result.warnings)} warning{'s' * (len(result.warnings) > 1)}")
    parts.append(f"{seconds:.0f} s")
    return ", ".join(parts)
