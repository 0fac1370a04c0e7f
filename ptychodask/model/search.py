"""What is searched over: ranges and choices of a job's options."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from .._arguments import is_number, shown
from .._errors import InputError
from .config import JobConfig, option_names
from .study import full_name

FIXED = {
    "preset": "fills in other options, which would change with it",
    "solver.seed": "chooses the electrons that are held out, by which trials are compared",
    "solver.validation_fraction": "chooses the electrons that are held out, by which trials are compared",
    "geometry.refine": "asks the held-out electrons itself whether to keep what it found; --set geometry.refine=auto"
    " has it in every trial",
}
"""Options that cannot be searched over, and why."""
Job = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Span:
    """A range of an option, ends included.

    Parameters
    ----------
    name : str
        ``section.option``.
    low, high : float
    whole : bool
        Only whole numbers.
    log : bool
        Factors count, not differences.
    """

    name: str
    low: float
    high: float
    whole: bool = False
    log: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values whose jobs must be valid."""
        return (self.low, self.high)

    def spread(self, count: int) -> list[Any]:
        """Values at equal distances, or of equal factors, from end to end."""
        if count == 1:
            return [self.at(0.5)]
        return list(dict.fromkeys(self.at(i / (count - 1)) for i in range(count)))

    def at(self, share: float) -> float | int:
        """The value at a share of the way from low to high."""
        low, high = self.low, self.high
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        return round(value) if self.whole else min(high, max(low, value))

    def __str__(self) -> str:
        return f"{self.name} = {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """Values of an option of which each is tried."""

    name: str
    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values whose jobs must be valid."""
        return self.values

    def __str__(self) -> str:
        return f"{self.name} = {', '.join(map(str, self.values))}"


Option = Span | Choice


def options_of(over: Any) -> tuple[Option, ...]:
    """What is searched over, from Python or from a command line.

    Parameters
    ----------
    over : mapping or sequence of text
        ``{"object.thickness_angstrom": (50, 200), "object.slices": [1, 2, 4]}``: a tuple of two numbers is a range, a
        list has values; or texts such as ``object.thickness=50:200``, ``solver.epsilon=0.01:1:log`` and
        ``object.slices=1,2,4``. Names may lack their unit.

    Raises
    ------
    InputError
        For an unknown option, one that cannot be searched over, or an empty range.
    """
    if isinstance(over, str):
        over = [over]
    if isinstance(over, Mapping):
        pairs = [(str(name), value) for name, value in over.items()]
    elif isinstance(over, Sequence):
        pairs = [_parted(text) for text in over]
    else:
        raise InputError(f"over = {shown(over)}: give a dictionary of options with ranges or values")
    if not pairs:
        raise InputError("over names no option: give at least one, for instance object.thickness=50:200")
    found = [_option(full_name(name, _known()), value) for name, value in pairs]
    names = [option.name for option in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"over names {twice} twice: say it once")
    return tuple(found)


def with_values(job: JobConfig, values: Mapping[str, Any]) -> JobConfig:
    """The job with other values of some options.

    Raises
    ------
    InputError
        If they do not go together.
    """
    given = job.model_dump(exclude_unset=True)  # what the preset filled in is filled in anew
    for name, value in values.items():
        section, _, option = name.partition(".")
        given[section] = {**given.get(section, {}), option: value}
    return JobConfig.parse(given)


def value_of(job: JobConfig, name: str) -> Any:
    """What a job says of an option."""
    section, _, option = name.partition(".")
    return getattr(getattr(job, section), option)


def _known() -> list[str]:
    return [name for name in option_names() if not name.startswith(("data.", "engine."))]


def _parted(text: Any) -> tuple[str, str]:
    name, separator, values = str(text).partition("=")
    if not separator or not values.strip():
        raise InputError(f"over {shown(text)}: write OPTION=LOW:HIGH or OPTION=A,B,..., e.g. object.thickness=50:200")
    return name.strip(), values.strip()


def _option(name: str, value: Any) -> Option:
    if name in FIXED:
        raise InputError(f"{name} cannot be searched over: it {FIXED[name]}")
    section, _, option = name.partition(".")
    annotation = JobConfig.model_fields[section].annotation
    assert annotation is not None
    kind = annotation.model_fields[option].annotation
    kinds = set(get_args(kind) or (kind,))
    if isinstance(value, str):
        value = _from_text(name, value)
    if isinstance(value, tuple) and len(value) in (2, 3) and all(map(is_number, value[:2])):
        return _span(name, value, kinds)
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"over {name} = {shown(value)}: give a range (low, high), or a list of values")
    if twice := [v for at, v in enumerate(value) if v in value[:at]]:
        raise InputError(f"over {name} = {shown(list(value))} has {shown(twice[0])} twice: say it once")
    return Choice(name, tuple(value))


def _span(name: str, value: tuple[Any, ...], kinds: set[Any]) -> Span:
    if not kinds & {int, float}:
        raise InputError(f"over {name} = {shown(value)}: it is no number, give a list of values")
    low, high, log = float(value[0]), float(value[1]), len(value) == 3 and value[2] == "log"
    whole = float not in kinds
    if len(value) == 3 and not log:
        raise InputError(f"over {name} = {shown(value)}: after low and high only 'log' may follow")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"over {name} = {low:g} to {high:g}: give low before high")
    if whole and (low != round(low) or high != round(high)):
        raise InputError(f"over {name} = {low:g} to {high:g}: give whole numbers")
    if log and low <= 0:
        raise InputError(f"over {name} = {low:g} to {high:g}, log: give a low end above 0")
    return Span(name, low, high, whole, log)


def _from_text(name: str, text: str) -> Any:
    """``50:200``, ``0.01:1:log`` or ``a,b,c``."""
    if ":" in text:
        parts = [part.strip() for part in text.split(":")]
        try:
            return (float(parts[0]), float(parts[1]), *parts[2:])
        except ValueError:
            raise InputError(f"over {name}={text}: write LOW:HIGH or LOW:HIGH:log with numbers") from None
    return [_word(part.strip()) for part in text.split(",") if part.strip()]


def _word(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
