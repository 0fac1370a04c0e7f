"""Options of the geometry."""

from __future__ import annotations

import difflib
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from ..._arguments import shown
from .section import Section

Refinable = Literal["defocus", "c12", "c21", "c30", "rotation", "scale", "asymmetry", "shear", "drift", "positions"]
"""What of the geometry can be refined."""
ELSEWHERE = {
    "tilt": "slices that are free shift instead, and tied ones see little of it: object.tilt_mrad says it",
    "thickness": "steps run away with it: 'ptychodask tune --over object.thickness=50:200' compares held-out electrons",
    "angular_step": "it goes with the scale and the defocus: 'ptychodask calibrate' takes it from the disk",
    "centre": "'ptychodask calibrate --write' finds it by the disk",
}
"""Why other numbers are not refined, and what finds them."""
WORDS = ("calibrated", "none", "auto")
AUTO: tuple[Refinable, ...] = ("defocus", "c12", "rotation", "asymmetry", "shear")
"""What is, where a job leaves it to us; the scale is as well known as the step, and mixes with the defocus."""


class GeometryConfig(Section):
    """What of the geometry is found while the image forms."""

    refine: Literal["calibrated", "none", "auto"] | tuple[Refinable | Literal["auto"], ...] = Field(
        "calibrated",
        description="numbers that are refined from the patterns before the image is made: none, auto (those of defocus,"
        ' c12, rotation, asymmetry and shear that the electrons can tell), a list such as ["defocus", "c12"]'
        ' or ["auto", "positions"] (what auto does, and positions: every pattern on its own, at some thousand electrons'
        " in each, while the image is made), or"
        " calibrated: auto where 'ptychodask calibrate --write' found the dataset's geometry, else none",
    )

    @field_validator("refine", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """``defocus,c12`` from a command line; each name once."""
        if isinstance(value, str) and value not in WORDS:
            value = [part.strip() for part in value.split(",")]
        if isinstance(value, str):
            return value
        try:
            names = tuple(dict.fromkeys(value))
        except TypeError:
            names = ()
        if held := [name for name in names if name in ELSEWHERE]:
            raise ValueError(f"geometry.refine = {held[0]} is refused: {ELSEWHERE[held[0]]}")
        known = (*get_args(Refinable), "auto")
        if alone := next((name for name in names if name in ("none", "calibrated")), None):
            raise ValueError(f"geometry.refine = {alone} stands alone: give it without other names")
        if wrong := [name for name in names if name not in known]:
            close = difflib.get_close_matches(str(wrong[0]), known, n=1)
            hint = f": did you mean {close[0]}?" if close else f": known are {', '.join(known)}"
            raise ValueError(f"geometry.refine = {shown(wrong[0])} is nothing that can be refined{hint}")
        if not names:
            raise ValueError(
                f'geometry.refine = {shown(value)}: give calibrated, none, auto, or a list such as ["defocus"]'
            )
        return "auto" if names == ("auto",) else names
