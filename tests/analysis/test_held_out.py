"""What held-out electrons say of an option, and where they cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.analysis.held_out import above_best, parabola, verdict
from ptychodask.model.search import Choice, Span

THICKNESS = Span("object.thickness_angstrom", 50, 200)
VALUES = [50.0, 75.0, 100.0, 125.0, 150.0, 200.0]


def losses(sigma: float, at: float = 110.0) -> np.ndarray:
    return above_best([1e5 + (x - at) ** 2 / (2 * sigma**2) for x in VALUES])


def test_a_thickness_that_the_data_know():
    value, error = parabola(VALUES, losses(10.0))
    assert (value, error) == (pytest.approx(110), pytest.approx(10))
    told = verdict(THICKNESS, VALUES, losses(10.0), True)
    assert told.startswith("object.thickness_angstrom = 100: trials from 100 to 125 cannot be told from it")
    assert "smallest at 110 +- 10" in told
    assert "= 100: every other value is more than 2 nats worse" in verdict(THICKNESS, VALUES, losses(5.0, 100), True)
    assert "parabola" not in verdict(THICKNESS, VALUES, losses(10.0), False)  # other options moved as well


def test_data_that_cannot_tell():
    assert "the data cannot tell, trials from 50 to 200" in verdict(THICKNESS, VALUES, losses(100.0), True)
    kind = Choice("object.kind", ("phase", "complex"))
    assert "cannot tell phase from complex" in verdict(kind, ["phase", "complex"], np.array([0.0, 1.5]), True)
    assert "every other value is more than 2 nats worse" in verdict(
        kind, ["phase", "complex"], np.array([0.0, 3]), True
    )
    assert "too few trials" in verdict(kind, ["phase", "complex"], np.array([0.0, np.nan]), True)


def test_an_end_of_the_range_is_said():
    assert "search beyond" in verdict(THICKNESS, VALUES, losses(10.0, at=230), True)
    assert parabola(VALUES, above_best([3.0, 2.0, 1.0, 2.0, np.nan, 3.0])) is not None
    assert parabola(VALUES, -losses(10.0)) is None
