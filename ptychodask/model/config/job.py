"""A whole job: its sections over a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from ..._arguments import mapping, python
from ..._errors import InputError
from ..presets import PRESETS, fill_from_preset
from .analysis import AnalysisConfig
from .data import DataConfig
from .engine import EngineConfig
from .errors import explain, names_of
from .geometry import GeometryConfig
from .object import ObjectConfig
from .probe import ProbeConfig
from .section import Section
from .solver import SolverConfig
from .toml import assign, read_toml, texts


class JobConfig(Section):
    """A whole reconstruction job.

    Examples
    --------
    >>> JobConfig.load(overrides=["solver.iterations=20"], preset="low-dose").solver.iterations
    20
    """

    preset: Literal["low-dose", "medium", "high-dose"] = Field(
        "low-dose", description="starting point for all that is not said"
    )
    data: DataConfig = DataConfig()
    object: ObjectConfig = ObjectConfig()
    probe: ProbeConfig = ProbeConfig()
    geometry: GeometryConfig = GeometryConfig()
    solver: SolverConfig = SolverConfig()
    engine: EngineConfig = EngineConfig()
    analysis: AnalysisConfig = AnalysisConfig()

    def why_not_spectral(self) -> str:
        """What of the job does not go with the spectral prior, with the remedy; empty if all does."""
        rules, solver = self.object, self.solver
        for wrong, told in (
            (rules.kind != "phase", "is for pure phase objects: set object.kind = phase"),
            (rules.coupling == "gaussian", "needs slices that are tied: set object.coupling = identical"),
            (
                rules.coupling == "none" and rules.slices != 1,
                "needs slices that are tied: set object.coupling = identical",
            ),
            (solver.step_rule == "tangent", "has a step of its own: leave solver.step_rule unset"),
            (
                rules.residual == 0 == rules.aperiodic_floor,
                "with neither a residual nor an aperiodic_floor erases what is not repeated: set one",
            ),
            (
                solver.rounds_per_iteration > 1,
                "sees the whole scan for every update: set solver.rounds_per_iteration = 1",
            ),
            (solver.iterations < 2, f"has two stages: solver.iterations = {solver.iterations}, use at least 2 (13)"),
            (rules.blur_angstrom > 0, "takes the place of the blur: leave object.blur_angstrom unset, or 0"),
            (bool(rules.further), "takes the place of further constraints: leave object.further unset"),
        ):
            if wrong:
                return told
        return ""

    @property
    def says_regularisation(self) -> bool:
        """Does the job say it itself, and not its preset?"""
        return "regularisation" in self.object.model_fields_set

    def with_blur(self) -> JobConfig:
        """What the job is if it says that a blur is to hold noise back."""
        said = self.model_dump(exclude_unset=True)
        return JobConfig.parse({**said, "object": {**said.get("object", {}), "regularisation": "blur"}})

    @model_validator(mode="after")
    def _positive_phases(self) -> JobConfig:
        if self.object.kind == "complex" and self.object.positivity:
            raise ValueError(
                "object.positivity is for pure phase objects, whose phase is a potential; that of a complex object"
                " also carries what is none and may have either sign: set object.positivity = false, or object.kind ="
                " phase"
            )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _preset_first(cls, values: Any, handler: Any) -> Any:
        """The job over its preset, and a blur where the job does not go with a prior that only the preset wants.

        Afterwards ``model_fields_set`` names what the job itself says.
        """
        if not isinstance(values, dict):
            return handler(values)
        said = {
            k: v.model_dump(exclude_unset=True) if isinstance(v, BaseModel) else v for k, v in python(values).items()
        }
        preset, rules = str(said.get("preset", "low-dose")), said.get("object", {})
        blurs = isinstance(rules, dict) and "blur_angstrom" in rules and "regularisation" not in rules
        made = handler(fill_from_preset(said, preset, "blur" if blurs else None))
        if made.object.regularisation == "spectral" and (told := made.why_not_spectral()):
            if "regularisation" in rules:
                raise ValueError(f"object.regularisation = spectral {told}")
            made = handler(fill_from_preset(said, preset, "blur"))
        for name, section in said.items():
            if isinstance(section, dict):
                getattr(made, name).model_fields_set.intersection_update(section)
        for name in set(PRESETS.get(preset, {})) - set(said):
            getattr(made, name).model_fields_set.clear()
        return made

    @classmethod
    def parse(cls, values: dict[str, Any]) -> JobConfig:
        """From nested dictionaries, with errors of one line."""
        given = mapping(values, "config", "sections of options")
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InputError(explain(error, sections())) from None

    @classmethod
    def load(
        cls, path: str | Path | None = None, overrides: list[str] | None = None, preset: str | None = None
    ) -> JobConfig:
        """From a TOML file, then the preset, then ``section.name=value`` overrides."""
        values = read_toml(path) if path is not None else {}
        if preset is not None:
            values["preset"] = preset
        known = names_of(sections())
        for text in overrides or []:
            assign(values, text, known)
        return cls.parse(values)

    def to_toml(self) -> str:
        """TOML without comments; an unset option reads "none", because TOML knows no null."""
        values = self.model_dump(mode="json")
        return tomli_w.dumps({k: texts(v) if isinstance(v, dict) else v for k, v in values.items()})


def sections() -> dict[str, type[Section]]:
    """Sections of a job by their names."""
    kinds = {name: field.annotation for name, field in JobConfig.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}
