"""What is being reconstructed, as frozen data: a new one for every iteration, nothing is changed in place."""

from __future__ import annotations

from dataclasses import dataclass

from .._array import Array, held_bytes, namespace


@dataclass(frozen=True)
class Model:
    """Object, probe and positions: all that a block needs to predict its patterns.

    Parameters
    ----------
    object : array [S, Oy, Ox]
        Real: the phase of every slice in rad (a pure phase object, transmission ``exp(i phase)``).
        Complex: the transmission itself. Slice 0 is the entrance.
    probe : complex array [M, N, N]
        Incoherent modes at the entrance surface, centred at N/2, by falling power.
        ``sum |probe|^2`` is the mean number of electrons in a pattern.
    positions : float64 array [J, 2]
        Probe centres (y, x) in canvas pixels.
    background : float
        Electrons per pixel that no wave explains.
    iteration : int
        Updates made so far.
    corner : (int, int)
        Canvas pixel of the object's first pixel: not (0, 0) where ``object`` is a part of the canvas.
    """

    object: Array
    probe: Array
    positions: Array
    background: float = 0.0
    iteration: int = 0
    corner: tuple[int, int] = (0, 0)

    __sizeof__ = held_bytes

    def part(self, view: tuple[slice, slice]) -> tuple[slice, slice, slice]:
        """Index of a window of the canvas in the object, all slices."""
        (y, x), (rows, columns) = self.corner, view
        return slice(None), slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)


@dataclass(frozen=True)
class State:
    """The model with what the solver remembers between iterations.

    Parameters
    ----------
    model : Model
    anchor : array [S, Oy, Ox]
        The object before extrapolation (Nesterov's x where ``model.object`` is y).
    momentum : int
        Iterations since the last restart; -1 when acceleration is off.
    damping : float
        Factor on every step, halved after a divergence.
    """

    model: Model
    anchor: Array
    momentum: int = 0
    damping: float = 1.0

    __sizeof__ = held_bytes


@dataclass(frozen=True)
class TileState:
    """Object and anchor on the core of a tile, both [S, h, w].

    Probe, positions and the rest are in a State that all tiles share, whose object has no pixels.
    """

    object: Array
    anchor: Array

    __sizeof__ = held_bytes


def is_pure_phase(object_: Array) -> bool:
    """True where the object is stored as phases in rad."""
    return object_.dtype.kind == "f"


def transmission(object_: Array) -> Array:
    """Complex transmission of the slices, whichever way they are stored."""
    if not is_pure_phase(object_):
        return object_
    xp = namespace(object_)
    out = xp.empty(object_.shape, dtype=xp.result_type(object_.dtype, xp.complex64))
    xp.cos(object_, out=out.real)
    xp.sin(object_, out=out.imag)
    return out
