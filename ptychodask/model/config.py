"""The job configuration: text at the boundary. TOML, command line and Python build the same object."""

from __future__ import annotations

import difflib
import operator
import reprlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .._arguments import mapping, python, shown
from .._errors import InputError
from .place import Place
from .presets import PRESETS, fill_from_preset

SMALLEST_TILE = 16
AUTO_OBJECT_GIB = 8.0
"""GiB of a whole object with its workspace; not of this machine, because tiles change bits."""
LARGEST_TILE = 8192
"""Side in pixels; a tile is a chunk of its files, and those have at most 2 GiB."""


Refinable = Literal["defocus", "c12", "c21", "c30", "rotation", "scale", "asymmetry", "shear"]
"""What of the geometry can be refined."""
AUTO: tuple[Refinable, ...] = ("defocus", "c12", "rotation", "asymmetry", "shear")
"""What is, where a job leaves it to us; the scale is as well known as the step, and mixes with the defocus."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _nones(cls, values: Any) -> Any:
        """An option that can be unset reads ``none`` in text, because TOML knows no null."""
        if not isinstance(values, dict):
            return values
        unset = {name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {name: None if value == "none" and name in unset else value for name, value in values.items()}

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, values: Any) -> Any:
        """NumPy's numbers, arrays and paths as text would say them; a truth value is no number."""
        values = python(values)
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                section = cls.__name__.removesuffix("Config").lower()
                raise ValueError(f"{section}.{name} = {value}: it is no option that is on or off")
        return values


class ObjectConfig(Section):
    """The object: slices and constraints."""

    slices: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="number of slices S; unset: one per half depth of field of the thickness, 1 if that is unknown",
    )
    thickness_angstrom: float | None = Field(
        None, gt=0, le=1e5, description="specimen thickness in angstrom; unset: what the dataset says"
    )
    kind: Literal["phase", "complex"] = Field(
        "phase", description="pure phase object, or one whose modulus is free, too"
    )
    amplitude_max: float | None = Field(1.1, gt=0, description="bound on |O| of a complex object; unset: none")
    positivity: bool = Field(True, description="keep the phase at or above 0 (vacuum)")
    regularisation: Literal["blur", "spectral"] = Field(
        "blur",
        description="what holds noise back: spectral, a Wiener filter whose spectrum is measured from the data, which"
        " averages lattices and keeps defects in a residual; or blur, a blur after every update and stopping early (and"
        " so where blur_angstrom is set, or another option or the data do not go with the first)",
    )
    blur_angstrom: float = Field(
        0.45, ge=0, le=10, description="sigma of the lateral Gaussian blur after every update, angstrom"
    )
    residual: float = Field(
        0.01,
        ge=0,
        le=10,
        description="spectral: prior variance (rad^2) of what is no lattice, such as defects, which the last iteration"
        " fits; 0 for none",
    )
    aperiodic_floor: float = Field(
        0.0,
        ge=0,
        le=100,
        description="spectral: prior power between the peaks of a lattice, in means of the ring; with 0 the lattice"
        " alone is averaged, and defects are in the residual",
    )
    spectral_window: float = Field(
        1.0,
        ge=0.5,
        le=4,
        description="spectral: side of the windows, in sides of the pattern's box; at most that of the scan",
    )
    coupling: Literal["none", "identical", "gaussian"] = Field(
        "identical", description="how slices are tied to each other"
    )
    coupling_sigma_angstrom: float = Field(
        50.0, gt=0, description="sigma of the gaussian coupling along the beam, angstrom"
    )
    tilt_mrad: tuple[float, float] = Field((0.0, 0.0), description="known lean (y, x) of the atomic columns, mrad")


class ProbeConfig(Section):
    """The probe: modes and when they move. It starts from the dataset's semi-angle and aberrations."""

    modes: int = Field(1, ge=1, le=64, description="incoherent probe modes M")
    mode_power: float = Field(0.02, gt=0, lt=0.5, description="share of the power of every further mode at the start")
    update_start: int | None = Field(None, ge=0, description="first iteration that moves the probe; unset: never")
    keep_power: bool = Field(True, description="hold the probe's power at the mean electrons per pattern")
    keep_aperture: bool = Field(True, description="hold the strongest mode inside the aperture")
    defocus_angstrom: float | None = Field(None, description="replaces the dataset's defocus (positive: underfocus)")


class GeometryConfig(Section):
    """What of the geometry is found while the image forms."""

    refine: Literal["none", "auto"] | tuple[Refinable, ...] = Field(
        "none",
        description="numbers that are refined from the patterns before the image is made: none, auto (those of defocus,"
        ' c12, rotation, asymmetry and shear that the electrons can tell), or a list such as ["defocus", "c12"]',
    )

    @field_validator("refine", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """``defocus,c12`` from a command line; each name once."""
        if isinstance(value, str) and value not in ("none", "auto"):
            value = [part.strip() for part in value.split(",")]
        if isinstance(value, str):
            return value
        try:
            names = tuple(dict.fromkeys(value))
        except TypeError:
            names = ()
        if wrong := [name for name in names if name not in get_args(Refinable)]:
            close = difflib.get_close_matches(str(wrong[0]), get_args(Refinable), n=1)
            hint = f": did you mean {close[0]}?" if close else f": known are {', '.join(get_args(Refinable))}"
            raise ValueError(f"geometry.refine = {shown(wrong[0])} is nothing that can be refined{hint}")
        if not names:
            raise ValueError(f'geometry.refine = {shown(value)}: give none, auto, or a list such as ["defocus"]')
        return names


class SolverConfig(Section):
    """LSQ-ML."""

    iterations: int = Field(40, ge=1, le=100_000, description="largest number of iterations")
    residual: Literal["poisson", "amplitude"] = Field("poisson", description="likelihood of the counts")
    epsilon: float = Field(0.1, ge=1e-6, le=10, description="shift of the Poisson likelihood, in mean counts per pixel")
    object_step: float = Field(1.0, gt=0, le=2, description="factor on the object's least-squares step")
    probe_step: float = Field(0.3, gt=0, le=2, description="factor on the probe's least-squares step")
    precondition: float = Field(
        0.1, gt=0, le=10, description="delta: how far steps fade where the illumination is weak"
    )
    step_rule: Literal["auto", "pooled", "tangent"] = Field(
        "auto",
        description="pooled least squares over S, or tangent line search; auto: tangent above 4 free slices",
    )
    tangent_stride: int = Field(8, ge=1, description="the tangent step uses one pattern of so many")
    rounds_per_iteration: int = Field(
        1, ge=1, le=1000, description="updates per iteration, each from one block of so many; 1 at low dose"
    )
    acceleration: bool = Field(True, description="Nesterov with restart")
    background: bool = Field(False, description="fit a uniform background on the detector")
    validation_fraction: float | None = Field(
        0.1, gt=0, lt=0.9, description="share of the electrons held out to decide when to stop; unset: none"
    )
    patience: int = Field(
        5,
        ge=1,
        description="stop after so many iterations without a significant gain; the spectral prior goes on to the end",
    )
    finish: int = Field(
        3,
        ge=0,
        le=100,
        description="last iterations, which fit the held-out electrons too; part of iterations",
    )
    seed: int = Field(0, ge=0, lt=2**53, description="key of all random numbers")
    batch: int = Field(
        8, ge=1, le=65_536, description="patterns computed together by the backend numpy; the others choose themselves"
    )


class DataConfig(Section):
    """The counts."""

    on_damage: Literal["stop", "mask"] = Field(
        "stop",
        description="damaged or missing chunks of counts: stop with an error, or leave their positions out and say so",
    )
    exclude: Literal["misfired"] | tuple[tuple[int, int], ...] | None = Field(
        None,
        description='positions to leave out: "misfired" for frames with far too many electrons or none, or a list of'
        " (scan_y, scan_x) such as [[3, 14], [15, 9]]; unset: none",
    )

    @field_validator("exclude", mode="before")
    @classmethod
    def _positions(cls, value: Any) -> Any:
        """Pairs of whole numbers from whatever holds them."""
        if value is None or (isinstance(value, str) and value == "misfired"):
            return value
        try:
            if any(isinstance(number, bool) for pair in value for number in pair):
                raise TypeError("a mask, not positions")
            pairs = tuple((operator.index(y), operator.index(x)) for y, x in value)
        except (TypeError, ValueError):
            raise ValueError(
                f'data.exclude = {reprlib.repr(value)}: give "misfired", or a list of positions (scan_y, scan_x)'
                " such as [[3, 14]]"
            ) from None
        if any(min(pair) < 0 for pair in pairs):
            raise ValueError(f"data.exclude = {min(pairs)}: positions are counted from (0, 0)")
        return pairs or None


_CHANGES_BITS: dict[str, Any] = {"changes_bits": True}
"""Marks an option of the engine that a resumed run must not change."""


class EngineConfig(Section):
    """Where and how it runs. Options that are marked so change bits of the result; all others do not."""

    workers: int | None = Field(None, ge=1, le=10_000, description="worker processes; unset: threads in this process")
    threads: int | None = Field(None, ge=1, le=4096, description="threads per worker; unset: all cores shared out")
    gpus: Literal["all"] | tuple[int, ...] | None = Field(
        None, description='one worker per CUDA device: "all", or device numbers such as [0, 1]'
    )
    scheduler: str | None = Field(
        None, description="address of a running Dask scheduler, tcp://... or tls://..., instead of workers of our own"
    )
    host: str = Field(
        "127.0.0.1", description="address that workers of our own listen on; others than this machine's need TLS"
    )
    protocol: Literal["tcp", "ucx"] | None = Field(
        None, description="between workers of our own: tcp, or ucx where distributed-ucxx is installed"
    )
    tls_ca_file: str | None = Field(None, description="TLS: file of the certificate authority (PEM)")
    tls_cert: str | None = Field(None, description="TLS: file of our certificate (PEM)")
    tls_key: str | None = Field(None, description="TLS: file of its private key (PEM)")
    backend: Literal["auto", "cpu", "numpy", "cupy"] = Field(
        "auto",
        description="kernels: compiled (cpu), plain NumPy, or a CUDA device; auto: cupy if a device is found",
        json_schema_extra=_CHANGES_BITS,
    )
    block: tuple[int, int] | None = Field(
        None,
        description="scan positions (y, x) per block; unset: shards of the dataset, small ones joined (for a device to"
        " about 32 x 32)",
        json_schema_extra=_CHANGES_BITS,
    )
    tile_pixels: int | None = Field(
        None,
        ge=SMALLEST_TILE,
        le=LARGEST_TILE,
        description="keep the object in tiles of at most so many pixels a side, spread over the workers, which"
        " exchange frames; unset: as object_gib says",
        json_schema_extra=_CHANGES_BITS,
    )
    object_gib: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        "auto",
        description="memory of a worker for the object and what is computed of it, GiB; an object that takes more is"
        f" kept in tiles, a smaller one is whole on every worker; auto: {AUTO_OBJECT_GIB:g}",
        json_schema_extra=_CHANGES_BITS,
    )
    cache_gib: float = Field(4.0, ge=0, description="counts that one worker may keep or read ahead, GiB; 0: neither")
    checkpoint_every: int = Field(10, ge=1, description="iterations between checkpoints")
    live_page: bool = Field(True, description="show the run on Dask's dashboard; costs nothing while nobody looks")

    @property
    def place(self) -> Place:
        """Where to run."""
        files = (self.tls_ca_file, self.tls_cert, self.tls_key)
        tls = None if None in files else (str(files[0]), str(files[1]), str(files[2]))
        return Place(self.workers, self.threads, self.gpus, self.scheduler, self.host, self.protocol, tls)

    @classmethod
    def changing_bits(cls) -> frozenset[str]:
        """Names of the options that change bits of the result."""
        marked = ((name, field.json_schema_extra) for name, field in cls.model_fields.items())
        return frozenset(name for name, extra in marked if isinstance(extra, dict) and extra.get("changes_bits"))

    @field_validator("gpus", mode="before")
    @classmethod
    def _devices(cls, value: Any) -> Any:
        """``0,1`` from a command line, as it is written for CUDA_VISIBLE_DEVICES."""
        if isinstance(value, str) and value != "all":
            return tuple(part.strip() for part in value.split(","))
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _one_place(self) -> EngineConfig:
        places = [n for n in ("workers", "gpus", "scheduler") if getattr(self, n) is not None]
        if len(places) > 1:
            raise ValueError(f"engine.{places[0]} and engine.{places[1]} are two places to run: say one")
        if self.gpus is not None and (not self.gpus or min([0, *self.gpus] if self.gpus != "all" else [0]) < 0):
            raise ValueError(f"engine.gpus = {list(self.gpus)}: give device numbers from 0, or all")
        if self.gpus is not None and self.backend not in ("auto", "cupy"):
            raise ValueError(f"engine.gpus runs the backend cupy, not {self.backend}: leave engine.backend unset")
        starts = self.workers is not None or self.gpus is not None
        if not starts and (self.protocol is not None or self.host != "127.0.0.1"):
            raise ValueError(
                "engine.host and engine.protocol are of workers of our own: set engine.workers or gpus too"
            )
        tls = (self.tls_ca_file, self.tls_cert, self.tls_key)
        if any(tls) and not all(tls):
            raise ValueError("TLS needs all of engine.tls_ca_file, tls_cert and tls_key")
        if any(tls) and not starts and not str(self.scheduler).startswith("tls://"):
            raise ValueError("TLS files need engine.scheduler = tls://..., or workers of our own")
        if any(tls) and self.protocol == "ucx":
            raise ValueError("engine.protocol = ucx cannot be encrypted: use tcp with TLS")
        return self


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
            raise InputError(_explain(error)) from None

    @classmethod
    def load(
        cls, path: str | Path | None = None, overrides: list[str] | None = None, preset: str | None = None
    ) -> JobConfig:
        """From a TOML file, then the preset, then ``section.name=value`` overrides."""
        values = read_toml(path) if path is not None else {}
        if preset is not None:
            values["preset"] = preset
        for text in overrides or []:
            _assign(values, text)
        return cls.parse(values)

    def to_toml(self) -> str:
        """TOML without comments; an unset option reads "none", because TOML knows no null."""
        values = self.model_dump(mode="json")
        return tomli_w.dumps({k: _texts(v) if isinstance(v, dict) else v for k, v in values.items()})


def _texts(section: dict[str, Any]) -> dict[str, Any]:
    return {k: "none" if v is None else v for k, v in section.items()}


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as dictionaries."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"configuration {path} cannot be read ({error.strerror}): check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"configuration {path} is not valid TOML: {error}") from None


def _assign(values: dict[str, Any], text: str) -> None:
    name, separator, raw = text.partition("=")
    parts = name.strip().split(".")
    if not separator or not all(parts) or len(parts) > 2:
        raise InputError(f"--set {text!r}: write section.name=value, for instance solver.iterations=20")
    try:
        value = tomllib.loads(f"value = {raw.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()  # a bare word is a string
    target = values
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise InputError(f"--set {text!r}: {part} is not a section")
    target[parts[-1]] = value


def option_names() -> list[str]:
    """Every option as ``section.name``."""
    return ["preset"] + [f"{s}.{n}" for s, section in _sections() for n in section.model_fields]


def known_options(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options that this version has, and the names of the others: those of a file that a later version wrote."""
    sections = dict(_sections())
    known: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in values.items():
        if name not in JobConfig.model_fields:
            unknown.append(name)
        elif name in sections and isinstance(value, dict):
            fields = sections[name].model_fields
            known[name] = {option: v for option, v in value.items() if option in fields}
            unknown += [f"{name}.{option}" for option in value if option not in fields]
        else:
            known[name] = value
    return known, unknown


def _sections() -> Iterator[tuple[str, type[Section]]]:
    yield from (
        ("data", DataConfig),
        ("object", ObjectConfig),
        ("probe", ProbeConfig),
        ("geometry", GeometryConfig),
        ("solver", SolverConfig),
        ("engine", EngineConfig),
    )


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    # section, option and place in a list; not which member of a union was tried
    name = ".".join(str(part) for at, part in enumerate(first["loc"]) if at < 2 or isinstance(part, int))
    if first["type"] == "extra_forbidden":
        known = option_names() if "." in name else [*option_names(), *(s for s, _ in _sections())]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {close[0]}?" if close else ": 'ptychodask config' lists all options"
        return f"unknown option {name}{hint}"
    if first["type"] == "value_error":  # one that says itself which options it is about
        return str(first["ctx"]["error"])
    message = first["msg"][0].lower() + first["msg"][1:]
    others = "".join(f", or {word}" for word in _words(first["loc"]) if repr(word) not in message)
    return f"{name} = {shown(first['input'])}: {message}{others}"


def _words(location: tuple[int | str, ...]) -> list[str]:
    """What an option may be besides a number: its words, and none where it can be unset."""
    section = dict(_sections()).get(str(location[0])) if len(location) > 1 else None
    field = section.model_fields.get(str(location[1])) if section is not None else None
    kinds = () if field is None or get_origin(field.annotation) is Literal else get_args(field.annotation)
    words = [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    return words + ["none"] * (type(None) in kinds)


def commented_default(preset: str = "low-dose") -> str:
    """All options with their defaults and meaning as commented TOML."""
    config = JobConfig.parse({"preset": preset})
    lines = ["# ptychodask job; every option may be left out", f'preset = "{preset}"']
    for section, model in _sections():
        lines += ["", f"# {(model.__doc__ or '').splitlines()[0]}", f"[{section}]"]
        for name, field in model.model_fields.items():
            value = getattr(getattr(config, section), name)
            dumped = tomli_w.dumps({name: value}).strip() if value is not None else f"# {name} = (unset)"
            lines += [f"# {field.description}", " ".join(dumped.split()) if value is not None else dumped]
    return "\n".join(lines) + "\n"
