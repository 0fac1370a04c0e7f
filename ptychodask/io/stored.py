"""What results, runs and truths have in common on disk: checksums, and the configuration as text."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import xarray as xr
from zarr.codecs import Crc32cCodec, ZstdCodec

from .._errors import InputError
from .._warnings import warn
from ..model.config import JobConfig, known_options
from .documents import Damage, parse_json


def checked_encoding(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """For ``to_zarr``: every chunk with a checksum, which finds a flipped bit."""
    return {
        str(name): {"compressors": (ZstdCodec(), Crc32cCodec())}
        for name, variable in data.variables.items()
        if variable.dtype.kind in "biufc"
    }


def stored_config(text: str, path: str, writer: str) -> JobConfig:
    """A configuration that a program wrote, perhaps a later version of ours.

    Parameters
    ----------
    text : str
        JSON.
    path : str
        Where it was found.
    writer : str
        Version of ptychodask that wrote it.

    Raises
    ------
    InputError
        If it is damaged; an option that is not known is only left out, with a warning.
    """
    try:
        values = parse_json(text.encode("utf-8", "replace"), "the configuration")
    except Damage as error:
        raise InputError(f"{path} is damaged ({error}): copy it again") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is damaged (the configuration is no JSON object): copy it again")
    known, unknown = known_options(values)
    try:
        job = JobConfig.parse(known)
    except InputError as error:
        raise InputError(f"{path}: its configuration, of version {writer}, cannot be used here: {error}") from None
    if unknown:
        warn(
            f"{path} was written by ptychodask {writer} with options that {metadata.version('ptychodask')}"
            f" does not know, and they are left out: {', '.join(unknown[:20])}"
        )
    return job
