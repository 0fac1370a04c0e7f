"""Data, results, checkpoints and configurations come from strangers: nothing in them is unpickled or executed."""

from __future__ import annotations

import ast
import json
import pickle
import re
from pathlib import Path

import pytest

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask.io.checkpoint import load_state

PACKAGE = Path(ptychodask.__file__).parent
SCHEMAS = {"open_dataset": "ptychodask-dataset/1", "open_result": "ptychodask-result/1", "load_state": ""}
READERS = {"open_dataset": ptychodask.open_dataset, "open_result": ptychodask.open_result, "load_state": load_state}


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("slot", ["compressor", "filters"])
@pytest.mark.parametrize("reader", READERS)
def test_a_store_whose_codec_is_pickle_is_refused(tmp_path, reader, slot):
    """Zarr's format 2 knows a codec that unpickles; we read format 3 only, which has none."""
    store, mark = tmp_path / "evil.zarr", tmp_path / "executed"
    codec = {"id": "pickle", "protocol": 5}
    codecs = {"compressor": None, "filters": None, slot: codec if slot == "compressor" else [codec]}
    store.mkdir()
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    (store / ".zattrs").write_text(json.dumps({"schema": SCHEMAS[reader]}))
    for name in ("counts", "positions", "mask", "object", "anchor", "probe"):
        (store / name).mkdir()
        meta = {
            "zarr_format": 2,
            "shape": [1],
            "chunks": [1],
            "dtype": "|O",
            "fill_value": None,
            "order": "C",
            **codecs,
        }
        (store / name / ".zarray").write_text(json.dumps(meta))
        (store / name / "0").write_bytes(pickle.dumps(Touch(mark)))
    with pytest.raises(InputError):
        READERS[reader](str(store))
    assert not mark.exists()
    pickle.loads((store / "counts" / "0").read_bytes())
    assert mark.exists(), "the trap does not work"


def test_a_configuration_is_only_text(tmp_path):
    mark = tmp_path / "executed"
    for text in (f"__import__('pathlib').Path({str(mark)!r}).touch()", f"!!python/object/apply:os.mknod [{mark}]"):
        with pytest.raises(InputError):
            JobConfig.load(overrides=[f"solver.iterations={text}"])
        (tmp_path / "job.toml").write_text(f"[solver]\niterations = {text}\n")
        with pytest.raises(InputError):
            JobConfig.load(tmp_path / "job.toml")
    assert not mark.exists()


def test_no_module_unpickles_or_evaluates():
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "cloudpickle", "marshal", "shelve", "yaml"} & set(names), (file, names)
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert not re.fullmatch(r"eval|exec|compile|__import__", called), (file, called)
                allowed = [ast.unparse(k.value) for k in node.keywords if k.arg == "allow_pickle"]
                assert set(allowed) <= {"False"}, (file, called)
