"""What runs tell a scheduler is plain text."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.live.packed import pack, unpack


def test_what_is_packed_comes_back():
    told = [
        {"kind": "row", "row": {"loss": 1.5, "nothing": None, "n": 3, "scalar": np.float32(0.25), "more": {"a": [1]}}},
        {"kind": "picture", "picture": {"phase": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1], "modes": [
            np.zeros((2, 2, 4), np.uint8)], "limits": (0.0, 1.0)}},
    ]  # fmt: skip
    row, picture = unpack(pack(told))
    assert row == {"kind": "row", "row": {**told[0]["row"], "scalar": 0.25}}
    np.testing.assert_array_equal(picture["picture"]["phase"], told[1]["picture"]["phase"])
    assert picture["picture"]["phase"].dtype == np.float32 and picture["picture"]["modes"][0].shape == (2, 2, 4)
    assert picture["picture"]["limits"] == [0.0, 1.0]


@pytest.mark.parametrize("value", [object(), np.array([object()]), {1, 2}])
def test_other_things_cannot_be_told(value):
    with pytest.raises(TypeError, match="cannot be told"):
        pack({"a": value})
