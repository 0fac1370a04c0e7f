"""Options of the engine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..._array import cupy_available
from ..place import Place
from .section import Section

SMALLEST_TILE = 16
AUTO_OBJECT_GIB = 8.0
"""GiB of a whole object with its workspace; not of this machine, because tiles change bits."""
LARGEST_TILE = 8192
"""Side in pixels; a tile is a chunk of its files, and those have at most 2 GiB."""
_CHANGES_BITS: dict[str, Any] = {"changes_bits": True}
"""Marks an option of the engine that a resumed run must not change."""


class EngineConfig(Section):
    """Where and how it runs. Options that are marked so change bits of the result; all others do not."""

    workers: int | None = Field(None, ge=1, le=10_000, description="worker processes; unset: threads in this process")
    threads: int | None = Field(
        None, ge=1, le=4096, description="threads per worker; unset: all cores shared out, for a device one or two"
    )
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
        device = self.backend == "cupy" or (self.backend == "auto" and cupy_available())
        return Place(self.workers, self.threads, self.gpus, self.scheduler, self.host, self.protocol, tls, device)

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
