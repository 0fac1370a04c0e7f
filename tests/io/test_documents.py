"""JSON files of ours: what is wrong with one is said in a line that names file and key."""

from __future__ import annotations

import json
import math
import pickle

import pytest

from ptychodask import InputError
from ptychodask._text import printable
from ptychodask.io.described.dataset import missing_files
from ptychodask.io.described.store import ArrayDocument
from ptychodask.io.documents import Damage, described, parse_json

BAD = {
    "empty": (b"", "f.json is no JSON"),
    "cut off": (b'{"a": [1, 2', "f.json is no JSON"),
    "not UTF-8": (b'{"a": "\xff"}', "f.json is no JSON: .*utf-8"),
    "twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "f.json: the key 'c' is given twice"),
    "deep": (b"[" * 40 + b"]" * 40, "f.json is nested deeper than 32"),
    "very deep": (b"[" * 100_000, "f.json is nested deeper than 32"),
    "endless number": (b"1" * 10_000, "f.json is no JSON"),
    "long": (b" " * (4 * 2**20 + 1), "f.json has more than 4194304 bytes"),
    "many values": (b"[" + b"[]," * 200_000 + b"[]]", "f.json has more than 200000 values"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_json_is_said(name):
    content, message = BAD[name]
    with pytest.raises(Damage, match=message):
        parse_json(content, "f.json")


def test_numbers_that_only_python_writes_are_read():
    value = parse_json(b'{"a": NaN, "b": -Infinity, "c": 0.1}', "f.json")
    assert math.isnan(value["a"]) and value["b"] == -math.inf and value["c"] == 0.1


ARRAY = {
    "zarr_format": 3, "node_type": "array", "shape": [12, 8], "data_type": "float32", "fill_value": 0.0,
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [6, 4]}},
    "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}],
}  # fmt: skip


def sharded(inner):
    return [{"name": "sharding_indexed", "configuration": {"chunk_shape": inner}}]


def test_an_array_is_described_as_the_specification_words_it():
    array = described(ArrayDocument, ARRAY, "a/zarr.json")
    assert (array.files, array.chunks, array.count, array.nbytes) == ((6, 4), (6, 4), 4, 384)
    assert list(array.keys()) == ["c/0/0", "c/0/1", "c/1/0", "c/1/1"]
    old_names = {"name": "v2", "configuration": {"separator": "."}}
    array = described(ArrayDocument, {**ARRAY, "chunk_key_encoding": old_names, "codecs": sharded([2, 2])}, "a")
    assert (array.files, array.chunks, array.key((1, 0))) == ((6, 4), (2, 2), "1.0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [12]}, "chunks of 2 dimensions in an array of 1"),
        ({"shape": [12, -8]}, r"shape\.1 = -8"),
        ({"shape": [12, True]}, r"shape\.1 = True"),
        ({"shape": [12, 10**30]}, r"shape\.1 = 1000"),
        ({"zarr_format": 2}, "zarr_format = 2"),
        ({"codecs": []}, "codecs"),
        ({"codecs": sharded([5, 4])}, "inner chunks .* do not divide"),
        ({"codecs": sharded("x")}, "a/zarr.json"),
        ({"dimension_names": ["y"]}, "1 dimension names for 2 dimensions"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**20, 2**20]}}},
            "above 2 GiB",
        ),
        ({"chunk_grid": {"name": "\x1b[31mred"}}, r"chunk_grid\.name = '\\x1b\[31mred'"),
    ],
)
def test_an_array_that_cannot_be_is_named_with_file_and_key(change, message):
    with pytest.raises(Damage, match=message) as caught:
        described(ArrayDocument, {**ARRAY, **change}, "a/zarr.json")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_a_missing_key_is_named():
    with pytest.raises(Damage, match=r"a/zarr\.json lacks 'codecs'"):
        described(ArrayDocument, {key: value for key, value in ARRAY.items() if key != "codecs"}, "a/zarr.json")


def test_no_more_files_are_looked_for_than_make_the_point():
    array = described(ArrayDocument, {**ARRAY, "shape": [2**40, 2**40]}, "a/zarr.json")
    missing, first = missing_files(array, lambda key: 5 * (key in ("c/0/0", "c/0/1")))
    assert missing == 1000 and first == "c/0/2"
    assert array.count == (2**40 // 6 + 1) * 2**38


def test_text_for_a_terminal_is_one_printable_line():
    assert printable("a\x1b[31m\n\tb\u202e c\x00") == "a [31m b c"
    assert printable("Å é 300 kV  x") == "Å é 300 kV  x"
    long = printable("begin " + "x" * 10**6 + " remedy")
    assert len(long) <= 800 and long.startswith("begin x") and long.endswith("x remedy") and " ... " in long


def test_errors_are_printable_and_travel():
    error = InputError("a.zarr: specimen \x1b]0;title\x07 is not known\nuse another")
    assert str(error) == "a.zarr: specimen ]0;title is not known use another"
    assert str(pickle.loads(pickle.dumps(error))) == str(error) and isinstance(error, ValueError)
    assert json.dumps(str(error))
