"""What callers name: data, a configuration, a result; as paths, objects or text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _arguments as arguments
from .._errors import InputError
from ..io.address import located
from ..io.dataset import DatasetInfo, dataset_info
from ..model.config import JobConfig

if TYPE_CHECKING:
    import xarray as xr

    from ..io.result import Result


@contextmanager
def asked_for(data: str | Path | xr.Dataset, whole: bool = True) -> Iterator[DatasetInfo]:
    """See :func:`ptychodask.io.opened.asked_for`, which a path does not need."""
    if isinstance(data, str | os.PathLike):
        yield dataset_info(as_path(data), whole=whole)
        return
    from ..io.opened import asked_for

    with asked_for(data, as_path(data), whole=whole) as dataset:
        yield dataset


def as_scans(data: Any) -> tuple[Any, tuple[str, ...]]:
    """The first of several scans, and the paths of the others; of one, none."""
    if not isinstance(data, list | tuple):
        return data, ()
    if not data:
        raise InputError("data = []: give the path of a dataset, or the paths of several scans of one area")
    if wrong := next((its for its in data if len(data) > 1 and not isinstance(its, str | os.PathLike)), None):
        raise InputError(f"several scans are given by their paths, not as {arguments.shown(type(wrong).__name__)}")
    return data[0], tuple(map(as_path, data[1:]))


def as_path(data: str | Path | xr.Dataset) -> str:
    if isinstance(data, str | os.PathLike):
        return located(arguments.path(data, "data"))
    import xarray as xr

    if not isinstance(data, xr.Dataset):
        told = (
            "give the path or address of a dataset as text, which every worker opens itself, or what open_dataset"
            " returned for it; create_dataset makes one of counts"
        )
        raise InputError(f"data = {arguments.shown(data)}: {told}")
    if "path" not in data.attrs:
        raise InputError(
            "this xarray Dataset was not opened by ptychodask.open_dataset: write it with create_dataset first"
        )
    return located(data.attrs["path"])


def as_config(config: JobConfig | dict[str, Any] | str | Path | None) -> JobConfig:
    if isinstance(config, JobConfig):
        return config
    if isinstance(config, str | os.PathLike):
        return JobConfig.load(arguments.path(config, "config"))
    if config is not None and not isinstance(config, Mapping):
        told = "give a JobConfig, a dictionary of sections of options, or the path of a TOML file"
        raise InputError(f"config = {arguments.shown(config)}: {told}")
    return JobConfig.parse(dict(config or {}))


def as_result(result: Result | str | Path) -> Result:
    from ..io.result import Result, open_result

    return result if isinstance(result, Result) else open_result(arguments.path(result, "result"))
