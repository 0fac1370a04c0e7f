"""Patterns in larger ones."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.counts.events import to_events
from ptychodask.counts.padding import padded
from ptychodask.counts.patterns import dense


@pytest.mark.parametrize("wanted", [8, 12, 400])
def test_patterns_keep_their_centre_and_get_an_empty_rim(wanted):
    counts = np.random.default_rng(0).poisson(0.7, (3, 8, 8)).astype(np.uint8)
    rim = (wanted - 8) // 2
    expected = np.fft.ifftshift(np.pad(np.fft.fftshift(counts, (1, 2)), ((0, 0), (rim, rim), (rim, rim))), (1, 2))
    np.testing.assert_array_equal(padded(counts, 8, wanted), expected)
    events = padded(to_events(counts), 8, wanted)
    np.testing.assert_array_equal(dense(events, 0, 3, wanted, np, np.float32), expected)
    assert all(
        (np.diff(events.pixel[a:b].astype(int)) > 0).all() for a, b in zip(events.start, events.start[1:], strict=False)
    )
    assert events.pixel.dtype == (np.uint16 if wanted < 256 else np.uint32)
