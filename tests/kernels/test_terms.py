"""Scalars of an update have one layout: names, places for numba and CUDA's enumerations agree."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ptychodask.kernels import terms
from ptychodask.solver.update import Sums


@pytest.mark.parametrize("names", [terms.DETECTOR, terms.FIT, terms.LINE])
def test_places_are_those_of_the_names(names):
    assert set(names) <= {field.name for field in fields(Sums)}
    assert [getattr(terms, name.upper()) for name in names] == list(range(len(names)))
    assert f"enum {{ {', '.join(names).upper()}, " in terms.enumerations()
