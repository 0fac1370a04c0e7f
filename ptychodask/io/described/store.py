"""Documents of a Zarr 3 store, as the specification words them; no library is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..documents import Described, Text

Side = Annotated[int, Field(strict=True, ge=1, le=2**40)]
Length = Annotated[int, Field(strict=True, ge=0, le=2**40)]
MOST_INNER = 2**20
"""Chunks of a shard, whose index is held in memory."""
DENSEST = 2**16
"""Bytes that a stored byte can stand for: zstd, the best of the codecs, takes 3 bytes for a block of 128 KiB."""
LARGEST_CHUNK = 2**31 - 1
"""Bytes; codecs count them in 32 bits."""


class Named(Described):
    """An extension: its name and how it is set."""

    name: Annotated[str, Field(strict=True, min_length=1, max_length=100)]
    configuration: dict[Text, Any] = Field(default_factory=dict)


class GridConfiguration(Described):
    chunk_shape: tuple[Side, ...]


class Grid(Described):
    """Chunks of one shape."""

    name: Literal["regular"]
    configuration: GridConfiguration


class KeyConfiguration(Described):
    separator: Literal["/", "."] | None = None


class Keys(Described):
    """How the files of chunks are called."""

    name: Literal["default", "v2"]
    configuration: KeyConfiguration = KeyConfiguration()


class GroupDocument(Described):
    """``zarr.json`` of a group."""

    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: dict[Text, Any] = Field(default_factory=dict)


class ArrayDocument(Described):
    """``zarr.json`` of an array."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: tuple[Length, ...]
    data_type: Any
    chunk_grid: Grid
    chunk_key_encoding: Keys
    fill_value: Any
    codecs: Annotated[tuple[Named, ...], Field(min_length=1, max_length=20)]
    attributes: dict[Text, Any] = Field(default_factory=dict)
    dimension_names: tuple[Text | None, ...] | None = None

    @model_validator(mode="after")
    def _fits(self) -> ArrayDocument:
        if len(self.shape) > 8:
            raise ValueError(f"{len(self.shape)} dimensions, at most 8 are read")
        if len(self.files) != len(self.shape):
            raise ValueError(f"chunks of {len(self.files)} dimensions in an array of {len(self.shape)}")
        if self.dimension_names is not None and len(self.dimension_names) != len(self.shape):
            raise ValueError(f"{len(self.dimension_names)} dimension names for {len(self.shape)} dimensions")
        inner = self.chunks
        if inner != self.files:
            if len(inner) != len(self.shape) or any(a % b for a, b in zip(self.files, inner, strict=True)):
                raise ValueError(f"inner chunks {inner} do not divide shards {self.files}")
            if math.prod(a // b for a, b in zip(self.files, inner, strict=True)) > MOST_INNER:
                raise ValueError(f"a shard of more than {MOST_INNER} chunks")
        if math.prod(inner) * self.itemsize > LARGEST_CHUNK:
            raise ValueError(f"a chunk of {inner} values of {self.itemsize} bytes is above 2 GiB")
        return self

    @property
    def files(self) -> tuple[int, ...]:
        """Shape of what is one file: a shard, or a chunk where there are no shards."""
        return self.chunk_grid.configuration.chunk_shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is decoded together."""
        (first, *more) = self.codecs
        if more or first.name != "sharding_indexed":
            return self.files
        return GridConfiguration.model_validate(first.configuration).chunk_shape

    @property
    def itemsize(self) -> int:
        """Bytes of a value; of types of variable length, what is allowed for them."""
        known = isinstance(self.data_type, str) and self.data_type in _TYPES
        return np.dtype(self.data_type).itemsize if known else 1024

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.itemsize

    @property
    def count(self) -> int:
        """Number of files."""
        return math.prod(self.grid)

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of files along every dimension."""
        return tuple(-(-n // side) for n, side in zip(self.shape, self.files, strict=True))

    def keys(self) -> Iterator[str]:
        """Names of the files in order, one at a time: there may be more than memory holds."""
        return map(self.key, _indices(self.grid))

    def key(self, index: tuple[int, ...]) -> str:
        """Name of a file."""
        default = self.chunk_key_encoding.name == "default"
        separator = self.chunk_key_encoding.configuration.separator or ("/" if default else ".")
        parts = [*(["c"] if default else []), *map(str, index)]
        return separator.join(parts) or "0"


_TYPES = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))}
_TYPES |= {"float16", "float32", "float64", "complex64", "complex128"}


def _indices(grid: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not grid:
        yield ()
        return
    for first in range(grid[0]):
        for rest in _indices(grid[1:]):
            yield (first, *rest)


def check_array(array: ArrayDocument, types: tuple[str, ...], shape: tuple[int | None, ...]) -> None:
    """Refuse an array of another type or shape; None stands for any length.

    Raises
    ------
    ValueError
    """
    if array.data_type not in types:
        raise ValueError(f"values of type {array.data_type!r:.40}, expected {' or '.join(types)}")
    fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits:
        expected = " x ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"shape {array.shape}, expected {expected}")
