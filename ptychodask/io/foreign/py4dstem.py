"""py4DSTEM: what ``py4DSTEM.save(path, reconstruction)`` writes (EMD 1.0), as 0.14.18 does.

One group of the class ``...Ptychography`` below a root: ``_object_emd/data`` ([slice,] y, x) is a transmission where it
is complex, a phase in rad where it is real (a potential); ``_probe_emd/data`` ([mode,] y, x) has its centre at pixel 0.
``preprocess_metadata/positions_px`` (position, 2) are pixels (y, x) of the object where that centre stood, turned into
the axes of the detector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._errors import InputError
from .found import Found, finite, phases_of, shaped, square

CLASSES = tuple(f"{kind}Ptychography" for kind in ("Singleslice", "Multislice", "Mixedstate", "MixedstateMultislice"))


def _of(file: Any) -> list[Any]:
    """Its reconstructions."""
    roots = [root for root in file.values() if hasattr(root, "values")]
    return [item for root in roots for item in root.values() if _class(item) in CLASSES]


def _class(item: Any) -> str:
    found = item.attrs.get("python_class", "")
    return found.decode() if isinstance(found, bytes) else str(found)


def knows(file: Any) -> bool:
    """Is it one?"""
    return bool(_of(file))


def read(file: Any) -> Found:
    """Object and probe."""
    its, *more = _of(file)
    if more:
        raise InputError(f"it holds {1 + len(more)} reconstructions, one is taken: save that one in a file of its own")
    object_, probe = (_stack(its, name) for name in ("object", "probe"))
    about = its["metadatabundle"]
    prepared = about["preprocess_metadata"]
    centres = finite(prepared["positions_px"][()])
    phases = phases_of(object_, centres) if object_ is not None and object_.dtype.kind == "c" else object_
    return Found(
        "py4DSTEM",
        float(about["instantiation_metadata/energy"][()]),
        square(prepared["sampling"][()]),
        phases,
        None if probe is None else np.fft.fftshift(probe, axes=(-2, -1)),
        centres,
    )


def _stack(its: Any, name: str) -> np.ndarray | None:
    """An array (slice or mode, y, x), which has two axes where there is one of them."""
    if f"_{name}_emd/data" not in its:
        return None
    values = its[f"_{name}_emd/data"][()]
    stack = values[None] if values.ndim == 2 else values
    return shaped(stack, name, ("slice" if name == "object" else "mode", "y", "x"))
