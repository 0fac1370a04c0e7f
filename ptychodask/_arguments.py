"""Arguments of the public functions: each is converted to plain Python once, where it comes in, or refused by its name.

NumPy's numbers (scalars and arrays of no dimension) are numbers, arrays and lists are pairs, and everything that says
its path is a path. A truth value is no number, nor is text: ``"300e3"`` may be anything.
"""

from __future__ import annotations

import inspect
import math
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import InputError

_LENGTH = 60


def shown(value: Any) -> str:
    """A value for an error message, on one line and not long."""
    kind = type(value).__name__
    if shape := getattr(value, "shape", None):
        return f"{kind} of shape {tuple(shape)}"
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, bool | int | float | complex | str | bytes | list | tuple | dict | None):
        return f"an object of type {kind}"
    text = repr(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."


def number(
    value: Any,
    name: str,
    wanted: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float = -math.inf,
    infinite: bool = False,
) -> float:
    """A real, finite number.

    Parameters
    ----------
    value : number, NumPy scalar or array of no dimension
    name : str
        Of the argument.
    wanted : str
        What to give instead, with its unit.
    low, high : float
        Bounds that are allowed.
    above : float
        A bound that is not.
    infinite : bool
        Allow plus infinity.

    Raises
    ------
    InputError
    """
    found = _real(value)
    if found is None or math.isnan(found) or (math.isinf(found) and not (infinite and found > 0)):
        raise InputError(f"{name} = {shown(value)}: give {wanted}, as one number")
    if not (low <= found and above < found and (found <= high or math.isinf(found))):
        raise InputError(f"{name} = {shown(value)}: give {wanted}{_bounds(low, high, above)}")
    return found


def whole(value: Any, name: str, wanted: str, low: int = 0, high: int = 2**53 - 1) -> int:
    """A whole number within bounds (a float such as 4.0 is one)."""
    found = _real(value)
    if found is None or not math.isfinite(found) or found != math.floor(found):
        raise InputError(f"{name} = {shown(value)}: give {wanted}, as one whole number")
    if not low <= found <= high:
        raise InputError(f"{name} = {shown(value)}: give {wanted}{_bounds(low, high)}")
    return int(found)


def pair(
    value: Any, name: str, wanted: str, low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf
) -> tuple[float, float]:
    """Two numbers (y, x) from a tuple, a list or an array."""
    y, x = _two(value, name, wanted)
    first = number(y, f"{name}[0]", wanted, low, high, above=above)
    return first, number(x, f"{name}[1]", wanted, low, high, above=above)


def whole_pair(value: Any, name: str, wanted: str, low: int = 1, high: int = 2**53 - 1) -> tuple[int, int]:
    """Two whole numbers (y, x) from a tuple, a list or an array."""
    y, x = _two(value, name, wanted)
    return whole(y, f"{name}[0]", wanted, low, high), whole(x, f"{name}[1]", wanted, low, high)


def several(value: Any, name: str, wanted: str) -> list[float]:
    """Any number of numbers from a tuple, a list, an array, or one alone."""
    if isinstance(value, str) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        return [number(value, name, wanted)]
    return [number(one, f"{name}[{i}]", wanted) for i, one in enumerate(value)]


def is_number(value: Any) -> bool:
    """Is it one number, whatever its size?"""
    return _real(value) is not None


def switch(value: Any, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} = {shown(value)}: give True or False")
    return bool(value)


def path(value: Any, name: str) -> Path:
    """A path from text or whatever says its path."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and text and "\0" not in text:
            return Path(text)
    raise InputError(f"{name} = {shown(value)}: give a path, as text or pathlib.Path")


def text(value: Any, name: str, wanted: str) -> str:
    """Text."""
    if not isinstance(value, str):
        raise InputError(f"{name} = {shown(value)}: give {wanted}, as text")
    return str(value)


def mapping(value: Any, name: str, wanted: str) -> dict[str, Any]:
    """A dictionary with text for its keys; none is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name} = {shown(value)}: give {wanted}, as a dictionary with text for its keys")
    return {str(key): item for key, item in value.items()}


def function(value: Any, name: str, wanted: tuple[str, ...]) -> Any:
    """Something to call with arguments that mean what is ``wanted``, or None."""
    told = f"give a function to call with {len(wanted)} arguments ({', '.join(wanted)}), or leave it out"
    if value is None:
        return None
    if not callable(value):
        raise InputError(f"{name} = {shown(value)}: {told}")
    if (trouble := refusal(value, wanted)) is not None:
        raise InputError(f"{name} takes other arguments ({trouble}): {told}")
    return value


def refusal(function: Any, wanted: tuple[str, ...]) -> str | None:
    """Why a function cannot be called with as many arguments; None where it can, or where nobody knows."""
    try:
        signature = inspect.signature(function)
    except Exception:  # of some compiled functions nobody knows it, which Python says in several ways
        return None
    try:
        signature.bind(*wanted)
    except TypeError as error:
        return str(error)
    return None


def real_array(value: Any, name: str, shape: tuple[int, ...], wanted: str) -> np.ndarray:
    """Real numbers of a shape; what they are worth is not looked at."""
    hidden = np.ma.is_masked(value)
    found = np.asarray(value) if not isinstance(value, list | tuple) else _from_lists(value)
    if found is None or found.dtype.kind not in "biuf" or hidden:
        why = "masked values" if hidden else "no real numbers"
        raise InputError(f"{name} has {why}: give {wanted}, as an array of shape {shape}")
    if found.shape != shape:
        raise InputError(f"{name} has shape {found.shape}, expected {shape}: give {wanted}")
    return found


def plain(value: Any, name: str) -> Any:
    """What JSON can hold, and nothing else: NumPy's numbers and arrays, tuples and paths are converted.

    Raises
    ------
    InputError
        With the name of the item that is of another kind, or not finite.
    """
    if hasattr(value, "__array__") and np.asarray(value).dtype.kind in "biufU" and not np.ma.is_masked(value):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {_key(key, name): plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return str(path(value, name))
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} = {value} cannot be stored: give a finite number, or leave it out")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"{name} = {shown(value)} cannot be stored: give numbers, text, lists and dictionaries")


def python(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, wherever they are in dictionaries, lists and tuples; paths as text."""
    if hasattr(value, "__array__"):
        return np.asarray(value).tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: python(item) for key, item in value.items()}
    return type(value)(map(python, value)) if type(value) in (list, tuple) else value


def _real(value: Any) -> float | None:
    """As Python's float, or None for what is no single real number."""
    if hasattr(type(value), "units") or hasattr(type(value), "unit"):
        return None  # a quantity has a unit of its own, which would be dropped
    if isinstance(value, bool | np.bool_) or np.ma.is_masked(value):
        return None
    if isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            return None
    if hasattr(value, "__array__") and getattr(value, "shape", None) == ():
        found = np.asarray(value)
        return float(found) if found.dtype.kind in "iuf" else None
    return None


def _two(value: Any, name: str, wanted: str) -> tuple[Any, Any]:
    quantity = hasattr(type(value), "units") or hasattr(type(value), "unit")
    shape = getattr(value, "shape", (len(value),) if isinstance(value, list | tuple) else None)
    if quantity or shape != (2,):
        raise InputError(f"{name} = {shown(value)}: give {wanted}, as two numbers (y, x)")
    return value[0], value[1]


def _from_lists(value: Any) -> np.ndarray | None:
    try:
        return np.asarray(value)
    except ValueError:  # lists of different lengths
        return None


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise InputError(f"{name} has the key {shown(key)}: give text")
    return str(key)


def _bounds(low: float, high: float, above: float = -math.inf) -> str:
    least = f"above {above:g}" if above >= low else f"at least {low:g}"
    if math.isinf(high) or high == 2**53 - 1:
        return "" if max(low, above) == -math.inf else f", {least}"
    return f", {least} and at most {high:g}"
