"""Recorded positions against the scan that they belong to: a word for each fault, none for sound ones."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.analysis.positions import position_warnings
from ptychodask.model.scan import raster

STEP = (0.9, 1.1)
GOOD = raster((12, 9), STEP)


def _turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return GOOD @ np.array([[c, s], [-s, c]])


def _to_and_fro() -> np.ndarray:
    return np.stack([row[::-1] if k % 2 else row for k, row in enumerate(GOOD)])


def _spiral() -> np.ndarray:
    angle = np.sqrt(4 * np.pi * np.arange(200))
    return (angle[:, None] / (2 * np.pi) * np.stack([np.sin(angle), np.cos(angle)], axis=-1))[None]


SOUND = {
    "raster": GOOD,
    "moved": GOOD + np.array([-300.0, 40.0]),
    "jitter": GOOD + np.random.default_rng(0).normal(scale=0.15, size=GOOD.shape),
    "turned": _turned(30),
    "turned further": _turned(80),
    "drift of 10 %": GOOD * np.array([1.1, 0.95]),
    "to and fro": _to_and_fro(),
    "one row": GOOD[:1],
    "one column": GOOD[:, :1],
    "one position": GOOD[:1, :1],
    "two by two": GOOD[:2, :2],
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_positions(name):
    assert position_warnings(SOUND[name], STEP) == []


def test_a_spiral_is_sound():
    assert position_warnings(_spiral(), (1.0, 1.0)) == []


def _with(values: np.ndarray, index: tuple, value: object) -> np.ndarray:
    changed = values.copy()
    changed[index] = value
    return changed


FAULTY = {
    "in picometres": (GOOD * 100, ["(100 times)", "scan_y", "angstrom"]),
    "in nanometres": (GOOD / 10, ["(0.1 times)", "scan_x"]),
    "one axis stretched": (GOOD * np.array([1, 3]), ["scan_x", "(3 times)"]),
    "all equal": (np.zeros_like(GOOD), ["all 108 recorded positions are equal"]),
    "rows repeated": (np.broadcast_to(GOOD[:1], GOOD.shape), ["recorded positions are"]),
    "two equal": (_with(GOOD, (3, 3), GOOD[0, 0]), ["2 of 108", "same as another"]),
    "columns swapped": (GOOD[..., ::-1], ["columns are swapped", "(y, x)"]),
    "y with the wrong sign": (GOOD * np.array([-1, 1]), ["decrease along scan_y", "sign"]),
    "x with the wrong sign": (GOOD * np.array([1, -1]), ["decrease along scan_x", "sign"]),
    "both signs": (-GOOD, ["decrease along scan_y and scan_x"]),
    "rows that start again": (np.concatenate([GOOD[:6], GOOD[:6] + 0.3]), ["extend over", "scan_y"]),
    "not a number": (_with(GOOD, (2, 2, 0), np.nan), ["1 of 108", "not finite"]),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_named(name):
    positions, words = FAULTY[name]
    found = position_warnings(positions, STEP)
    assert found, "nothing was said"
    assert all(any(word in text for text in found) for word in words), found
    assert all("\n" not in text for text in found)
