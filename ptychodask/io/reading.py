"""Open what programs of ours wrote: documents first, held against their description; Zarr only reads what passed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .._errors import InputError
from .._text import first_line
from .address import Store
from .described.dataset import missing_files
from .described.store import DENSEST, ArrayDocument, GroupDocument
from .documents import Damage, described, parse_json, shown

_SCHEMA = re.compile(r"(ptychodask-[a-z]+)/(\d{1,9})")


def root_of(store: Store, schema: str, kind: str, remedy: str) -> GroupDocument:
    """The document of a store's root, whose schema is the one that is read here.

    Raises
    ------
    InputError
        If it is no Zarr group, of another schema or version, or damaged.
    """
    try:
        raw = store.read("zarr.json")
    except OSError as error:
        if any(store.size(name) for name in (".zgroup", ".zarray", ".zmetadata")):
            raise InputError(
                f"{store.address} is a store of Zarr 2, and Zarr 3 is read: convert it with 'zarr migrate v3', or write"
                " its counts again with create_dataset(..., dask.array.from_zarr(...))"
            ) from None
        if kind == "dataset" and Path(store.address).is_file():
            raise InputError(
                f"{store.address} is not a Zarr group but a file: 'ptychodask import' makes a dataset of what a"
                " detector wrote"
            ) from None
        reason = "no zarr.json" if isinstance(error, FileNotFoundError | NotADirectoryError) else first_line(error)
        raise InputError(f"{store.address} is not a Zarr group ({reason}): give a ptychodask {kind}") from None
    except Damage as error:
        raise InputError(f"{store.address} is not a Zarr group ({error}): give a ptychodask {kind}") from None
    try:
        document = parse_json(raw, "zarr.json")
        if isinstance(document, dict) and document.get("node_type") == "array":
            raise InputError(
                f"{store.address} is a single Zarr array, not a {kind}: write one with"
                " create_dataset(..., dask.array.from_zarr(...))"
            )
        root = described(GroupDocument, document, "zarr.json")
    except Damage as error:
        raise InputError(f"{store.address} is damaged ({error}): {remedy}") from None
    found = root.attributes.get("schema")
    if found != schema:
        _refuse_schema(store.address, found, schema, kind)
    return root


def _refuse_schema(address: str, found: Any, schema: str, kind: str) -> None:
    told, known = _SCHEMA.fullmatch(found) if isinstance(found, str) else None, _SCHEMA.fullmatch(schema)
    assert known is not None
    if told is not None and told[1] == known[1] and int(told[2]) > int(known[2]):
        raise InputError(
            f"{address} was written by a newer version of ptychodask (schema {found!r}, {schema!r} is read here):"
            " update ptychodask to read it"
        )
    if kind == "dataset":
        how = "write it with ptychodask.create_dataset, or 'ptychodask import'"
        if told is not None and told[1] == "ptychodask-result":
            how = "it is a result, give the dataset that it was made of"
    else:
        how = "give a result of 'ptychodask reconstruct'"
        if told is not None and told[1] == "ptychodask-dataset":
            how = f"it is a dataset, 'ptychodask reconstruct {address} -o RESULT' makes a result of it"
    raise InputError(f"{address} has schema {shown(found)}, expected {schema!r}: {how}")


def open_group(store: Store) -> zarr.Group:
    """The group of a store, by Zarr, to read; of what is described only, not of a copy of it in the root."""
    where, root = store.zarr()
    return zarr.open_group(where, path=root.rstrip("/") or None, mode="r", zarr_format=3, use_consolidated=False)


def array_at(store: Store, name: str) -> ArrayDocument:
    """The document of an array.

    Raises
    ------
    Damage
    """
    return described(ArrayDocument, _document(store, name), f"{name}/zarr.json")


def group_at(store: Store, name: str) -> GroupDocument:
    """The document of a group within a store.

    Raises
    ------
    Damage
    """
    return described(GroupDocument, _document(store, name), f"{name}/zarr.json")


def _document(store: Store, name: str) -> Any:
    file = f"{name}/zarr.json"
    try:
        return parse_json(store.read(file), file)
    except OSError as error:
        raise Damage(f"{file} cannot be read: {first_line(error, 100)}") from None


def arrays_in(store: Store, group: str) -> dict[str, ArrayDocument]:
    """The documents of all arrays in a group within a store.

    Raises
    ------
    Damage
    """
    group_at(store, group)
    try:
        names = store.children(group)
    except OSError as error:
        raise Damage(f"{group} cannot be read: {first_line(error, 100)}") from None
    if len(names) > 1000:
        raise Damage(f"{group} has {len(names)} arrays")
    return {name: array_at(store, f"{group}/{name}") for name in names}


def check_files(store: Store, name: str, array: ArrayDocument) -> None:
    """Refuse an array whose files are missing, or cannot hold what it claims: nothing is allocated for it.

    Raises
    ------
    Damage
    """
    size = store.sizes(name)
    missing, first = missing_files(array, lambda key: size(f"{name}/{key}"))
    if missing:
        more = "more than " if missing == 1000 else ""
        raise Damage(f"{more}{missing} of {array.count} shards of {name} are missing, {first} is the first")
    check_size(store, name, array)


def check_size(store: Store, name: str, array: ArrayDocument) -> None:
    """Refuse an array that claims more than the files that it has can hold; chunks of zeros may be missing.

    Raises
    ------
    Damage
    """
    size, stored, absent = store.sizes(name), 0, 0
    for key in array.keys():  # noqa: SIM118  # a method, not a mapping's
        found = size(f"{name}/{key}")
        stored, absent = stored + found, absent + (found == 0)
        if absent > 1000 or array.nbytes <= max(2**20, DENSEST * stored):
            break
    if array.nbytes > max(2**20, DENSEST * stored):
        raise Damage(f"{name} claims {array.shape} values, its files hold {stored} bytes")


def read_values(array: zarr.Array, key: Any, what: str, remedy: str) -> np.ndarray:
    """Values of an array.

    Raises
    ------
    InputError
        If they cannot be decoded.
    """
    try:
        return np.asarray(array[key])
    except Exception as error:  # every codec has errors of its own
        raise InputError(f"{what} cannot be read ({first_line(error)}): {remedy}") from error
