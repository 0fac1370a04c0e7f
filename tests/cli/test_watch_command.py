"""``ptychodask watch`` as it is typed: what it passes on is what was said."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ptychodask import api
from ptychodask._errors import InputError
from ptychodask.cli import main


@pytest.fixture
def said(monkeypatch, capsys):
    """Arguments of ``api.watch`` that a command line makes."""

    def call(*arguments: str) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def watch(path: Any, output: Any, job: Any, **options: Any) -> Any:
            seen.update(options)
            raise InputError("enough")

        monkeypatch.setattr(api, "watch", watch)
        monkeypatch.setattr(sys, "argv", ["ptychodask", "watch", *arguments])
        with pytest.raises(SystemExit):
            main()
        assert "error: enough" in capsys.readouterr().err
        return seen

    return call


def test_what_a_person_says_of_hits(said):
    seen = said("scan.tpx3", "-o", "r.zarr", "--scan", "3", "4", "--dwell", "10", "--patience", "5")
    assert (seen["scan_shape"], seen["dwell_us"], seen["patience_seconds"]) == ((3, 4), 10.0, 5.0)


def test_what_a_person_says_of_pixels(said):
    seen = said("scan.npy", "-o", "r.zarr", "--gain", "2", "--gain-map", "flat.npy", "--mask-bad")
    assert (str(seen["gain_map"]), seen["mask_bad"], seen["count"]) == ("flat.npy", True, False)
    seen = said("scan.npy", "-o", "r.zarr", "--count", "--keep-bad")
    assert (seen["gain_map"], seen["mask_bad"], seen["count"]) == (None, False, True)


def test_of_a_dataset_nothing_has_to_be_said(monkeypatch, capsys, tmp_path):
    line = ["ptychodask", "watch", str(tmp_path / "scan.zarr"), "-o", str(tmp_path / "r.zarr"), "--patience", "0.5"]
    for more, told in ((["--flip"], "leave flip out"), ([], "did not appear within 0.5 s")):
        monkeypatch.setattr(sys, "argv", [*line, *more])
        with pytest.raises(SystemExit):
            main()
        assert told in capsys.readouterr().err
