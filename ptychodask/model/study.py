"""A study: conditions of a simulated experiment and of its reconstruction, as a validated document.

The conditions are all combinations of the ``axes``, for each of the further ``conditions`` where there are some.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from .._arguments import mapping, shown
from .._errors import InputError
from .config import EngineConfig, JobConfig, Section, option_names, read_toml
from .config.names import with_unit, without_unit
from .optics import ANGLES, COEFFICIENTS

MOST = 100_000
"""Conditions of a study."""
CONDITION = "condition"
"""Dimension of a list of conditions."""


class Simulated(Section):
    """What is simulated; options of :func:`ptychodask.simulate`, and what a study has besides."""

    material: str = Field("nu-1000", min_length=1, description="name, or a structure file with the beam along +z")
    thickness_angstrom: float = Field(50.0, gt=0, le=1e5, description="wanted thickness; whole repeats are made")
    energy_ev: float = Field(300e3, gt=0, description="beam energy")
    semi_angle_mrad: float = Field(10.0, gt=0, description="convergence semi-angle")
    defocus_angstrom: float = Field(600.0, description="positive is underfocus")
    probe_diameter_angstrom: float | None = Field(
        None, gt=0, description="D90; sets the defocus (underfocus) at which the probe is so wide"
    )
    aberrations: dict[str, float] = Field({}, description="Krivanek coefficients of the lens, angstrom and rad")
    defocus_error_angstrom: float = Field(0.0, description="what the reconstruction believes less the truth")
    aberration_errors: dict[str, float] = Field({}, description="the same of other coefficients")
    scan_shape: tuple[int, int] = Field((32, 32), description="positions (y, x)")
    scan_angstrom: float | None = Field(
        None, gt=0, description="side of the scanned square; replaces scan_shape, where steps are compared"
    )
    scan_step_angstrom: float = Field(1.05, gt=0, description="scan step")
    detector_pixels: int = Field(128, ge=8, description="side of the detector")
    angular_step_mrad: float = Field(0.47, gt=0, description="angle per detector pixel")
    dose_per_square_angstrom: float = Field(
        100.0, gt=0, allow_inf_nan=True, description="electrons per square angstrom; inf for no noise"
    )
    seed: int = Field(0, ge=0, lt=2**53, description="of noise, position errors and phonons")
    tilt_mrad: tuple[float, float] = Field((0.0, 0.0), description="lean (y, x) of the atomic columns")
    position_error_angstrom: float = Field(0.0, ge=0, description="RMS error of the recorded positions")
    phonons: int = Field(0, ge=0, le=10_000, description="frozen-phonon configurations")
    phonon_sigma_angstrom: float = Field(0.1, ge=0, le=10, description="their RMS displacement per axis")
    source_size_angstrom: float = Field(0.0, ge=0, description="standard deviation of the source's image, per axis")
    focal_spread_angstrom: float = Field(0.0, ge=0, description="standard deviation of the defocus")
    slice_thickness_angstrom: float = Field(2.0, gt=0, description="of the simulation's multislice")

    @field_validator("aberrations", "aberration_errors")
    @classmethod
    def _known(cls, values: dict[str, float]) -> dict[str, float]:
        for name in values:
            if name not in COEFFICIENTS + ANGLES or name == "C10":
                raise ValueError(
                    f"aberration {shown(name)}: give C12, phi12, C21, ..., C30; the defocus has options of its own"
                )
        return values

    @model_validator(mode="after")
    def _known_dose(self) -> Simulated:
        if math.isnan(self.dose_per_square_angstrom):
            raise ValueError("dose_per_square_angstrom = nan: give electrons per square angstrom, or inf for no noise")
        return self

    @property
    def positions(self) -> tuple[int, int]:
        """Of the scan (y, x)."""
        if self.scan_angstrom is None:
            return self.scan_shape
        return (max(1, round(self.scan_angstrom / self.scan_step_angstrom) + 1),) * 2

    @property
    def is_noisy(self) -> bool:
        """Does it have a dose?"""
        return math.isfinite(self.dose_per_square_angstrom)

    def without_noise(self) -> dict[str, Any]:
        """What patterns without noise depend on; a seed only where atoms or positions are moved by it."""
        besides = {"dose_per_square_angstrom", "defocus_error_angstrom", "aberration_errors", "scan_angstrom"}
        seeded = self.phonons > 0 or self.position_error_angstrom > 0
        kept = self.model_dump(mode="json", exclude=besides | (set() if seeded else {"seed"}))
        return {**kept, "scan_shape": list(self.positions)}


class StudyConfig(Section):
    """A study.

    Examples
    --------
    >>> study = {"axes": {"dose_per_square_angstrom": [30, 100, 300], "semi_angle_mrad": [10, 21]}}
    >>> len(list(StudyConfig.parse(study).conditions_of()))
    6
    """

    simulate: dict[str, Any] = Field({}, description="what all conditions have in common, see Simulated")
    reconstruct: dict[str, Any] = Field({}, description="the job that they have in common, as of reconstruct")
    axes: dict[str, tuple[Any, ...]] = Field({}, description="values of options: all combinations are conditions")
    conditions: tuple[dict[str, Any], ...] = Field(
        (), description="options of further conditions; each is combined with all of the axes"
    )
    resolutions_angstrom: tuple[float, ...] = Field((2.5, 2.0), min_length=1, description="of the correlation")
    pixel_angstrom: float = Field(0.25, gt=0, le=10, description="of the phases that are kept side by side")

    @classmethod
    def parse(cls, values: Any) -> StudyConfig:
        """From nested dictionaries, with errors of one line."""
        given = mapping(values, "study", "sections of a study: simulate, reconstruct, axes, conditions")
        given["axes"] = _flat(given.get("axes", {}), "axes")
        listed = given.get("conditions", ())
        if isinstance(listed, list | tuple):
            given["conditions"] = [_flat(each, "conditions") for each in listed]
        study = _parsed(cls, given, [*cls.model_fields])
        if not study.axes and not study.conditions:
            raise InputError(
                "the study has no conditions: give axes, such as dose_per_square_angstrom = [30, 100], or a list of"
                " conditions"
            )
        for name, found in study.axes.items():
            if not found:
                raise InputError(f"axes.{name} is empty: give at least one value, or leave the axis out")
            if len({json.dumps(value, sort_keys=True) for value in found}) < len(found):
                raise InputError(f"axes.{name} = {shown(list(found))} has a value twice: say it once")
        axes = {full_name(name, axis_names()): tuple(found) for name, found in study.axes.items()}
        further = tuple({full_name(n, axis_names()): v for n, v in one.items()} for one in study.conditions)
        if both := sorted(set(axes) & {name for one in further for name in one}):
            raise InputError(f"{both[0]} is among the axes and among the conditions: give it in one of them")
        if len(axes) < len(study.axes):
            raise InputError("axes name an option twice: say it once")
        made = study.model_copy(update={"axes": axes, "conditions": further})
        if made.count > MOST:
            raise InputError(f"the study has {made.count} conditions, at most {MOST} are allowed: give fewer values")
        return made

    @classmethod
    def load(cls, path: str | Path) -> StudyConfig:
        """From a TOML file."""
        return cls.parse(read_toml(path))

    @property
    def count(self) -> int:
        """Number of conditions."""
        return max(1, len(self.conditions)) * math.prod(len(values) for values in self.axes.values())

    @property
    def dims(self) -> dict[str, int]:
        """Dimensions of the study and their lengths."""
        listed = {CONDITION: len(self.conditions)} if self.conditions else {}
        return {**listed, **{name: len(values) for name, values in self.axes.items()}}

    def conditions_of(self) -> Iterator[Condition]:
        """Every condition, the last axis fastest; each is validated.

        Raises
        ------
        InputError
            For the first that is out of bounds.
        """
        jobs: dict[str, JobConfig] = {}
        for first in self.conditions or ({},):
            for values in itertools.product(*self.axes.values()):
                chosen = {**first, **dict(zip(self.axes, values, strict=True))}
                simulated = _placed(self.simulate, {n: v for n, v in chosen.items() if not _of_job(n)})
                job = _placed(self.reconstruct, {n: v for n, v in chosen.items() if _of_job(n)})
                key = json.dumps(job, sort_keys=True, default=str)
                if key not in jobs:
                    jobs[key] = JobConfig.parse(job)
                made = _parsed(Simulated, simulated, [*Simulated.model_fields])
                yield Condition(chosen, made, jobs[key])


@dataclass(frozen=True)
class Condition:
    """One simulated reconstruction.

    Parameters
    ----------
    values : mapping
        What it has of the axes and of the list of conditions, by name.
    simulated : Simulated
    job : JobConfig
    """

    values: Mapping[str, Any]
    simulated: Simulated
    job: JobConfig

    def identity(self) -> dict[str, Any]:
        """All that its result depends on, as plain values: where it runs does not count."""
        changing = EngineConfig.changing_bits()
        job = self.job.model_dump(mode="json")
        job["engine"] = {name: value for name, value in job["engine"].items() if name in changing}
        simulated = self.simulated.model_dump(mode="json", exclude={"scan_angstrom"})
        return {"simulated": {**simulated, "scan_shape": list(self.simulated.positions)}, "job": job}

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.values.items())


def axis_names() -> list[str]:
    """Every option that may be an axis."""
    further = [n for n in (*COEFFICIENTS, *ANGLES) if n != "C10"]
    nested = [f"{group}.{name}" for group in ("aberrations", "aberration_errors") for name in further]
    own = [name for name in Simulated.model_fields if name not in ("aberrations", "aberration_errors")]
    return [*own, *nested, *(name for name in option_names() if not name.startswith(("engine.", "data.")))]


def full_name(name: str, known: Sequence[str]) -> str:
    """An option's name, which may lack its unit: ``dose`` is ``dose_per_square_angstrom``.

    Raises
    ------
    InputError
        For a name that no option has, with the nearest.
    """
    if found := with_unit(name, known):
        return found
    if other := with_unit(name, option_names()):
        says = "which data are taken" if other.startswith("data.") else "where and how it is computed"
        raise InputError(f"{other} cannot be varied: it says {says}, which is the same for all; say it in the job")
    close = difflib.get_close_matches(name, [*known, *map(without_unit, known)], n=1)
    hint = f"did you mean {full_name(close[0], known)}?" if close else f"known are {', '.join(known[:12])}, ..."
    raise InputError(f"unknown option {shown(name)}: {hint}")


def _of_job(name: str) -> bool:
    return name == "preset" or name.partition(".")[0] in JobConfig.model_fields


def _flat(values: Any, where: str) -> dict[str, Any]:
    """Options by their whole names: TOML makes tables of names with dots."""
    found: dict[str, Any] = {}
    for name, value in mapping(values, where, "options by their names").items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found


def _placed(common: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Options of one condition over those of all, in their sections."""
    made = {name: dict(value) if isinstance(value, Mapping) else value for name, value in common.items()}
    for name, value in chosen.items():
        section, dot, option = name.partition(".")
        if dot:
            made.setdefault(section, {})[option] = value
        else:
            made[section] = value
    return made


def _parsed(model: Any, values: Mapping[str, Any], known: Sequence[str]) -> Any:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise InputError(f"unknown option {name}: {hint}") from None
        if first["type"] == "value_error":
            raise InputError(str(first["ctx"]["error"])) from None
        message = (first["msg"][0].lower() + first["msg"][1:]).replace("a valid tuple", "a list")
        raise InputError(f"{name} = {shown(first['input'])}: {message}") from None


Status = Literal["done", "diverged", "refused"]
"""How a condition ended: reconstructed, diverged, or one that cannot be simulated or reconstructed."""
