"""Messages as text: numbers, texts, lists, dictionaries, and NumPy arrays. What is read is never executed."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

ARRAY = "array of"
"""Key of a dictionary that stands for an array: its dtype."""


def pack(value: Any) -> str:
    """Anything of the kinds above as JSON; tuples become lists."""
    return json.dumps(value, default=_plain)


def unpack(text: str) -> Any:
    """What was packed."""
    return json.loads(text, object_hook=_arrays)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise TypeError(f"{type(value).__name__} cannot be told")
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
    return {ARRAY: value.dtype.str, "shape": list(value.shape), "data": data}


def _arrays(found: dict[str, Any]) -> Any:
    if ARRAY not in found:
        return found
    return np.frombuffer(base64.b64decode(found["data"]), found[ARRAY]).reshape(found["shape"])
