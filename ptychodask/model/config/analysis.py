"""Options of what is found out about a result."""

from __future__ import annotations

from pydantic import Field

from .section import Section


class AnalysisConfig(Section):
    """How far a result can be believed."""

    halves: bool = Field(
        False,
        description="reconstruct both halves of the electrons after the image: what they have in common is the"
        " resolution that the report names; twice the image's time again",
    )
