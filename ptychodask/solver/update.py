"""The partial update of a block: a commutative monoid of sums, numerators and denominators, never ratios.

Any grouping of blocks gives the same update up to rounding; a fixed grouping gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar


class Term(Protocol):
    """What adds up over patterns; a class of its own for every kind, in the file of the unknown that needs it."""

    @property
    def nbytes(self) -> int:
        """Bytes of its maps, which travel and take memory."""
        ...

    @classmethod
    def merged(cls, parts: list[Any]) -> Any:
        """Sum of such terms in the order of the list."""
        ...


@dataclass(frozen=True)
class Sums:
    """Scalar sums over patterns, float64."""

    patterns: float = 0.0
    electrons: float = 0.0
    """Training electrons in the pixels that the mask uses."""
    intensity: float = 0.0
    """Predicted intensity in the same pixels."""
    loss: float = 0.0
    held_loss: float = 0.0
    background_numerator: float = 0.0
    background_denominator: float = 0.0
    line_numerator: float = 0.0
    line_denominator: float = 0.0
    tested: float = 0.0
    """Patterns whose loss is compared with its expectation."""
    tested_loss: float = 0.0
    expected_loss: float = 0.0
    """Theirs, if the counts were Poisson noise around the model."""
    expected_variance: float = 0.0

    @property
    def nbytes(self) -> int:
        """They are no maps."""
        return 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def merged(cls, parts: list[Sums]) -> Sums:
        """Sum in the order of the list."""
        return reduce(add, parts)


T = TypeVar("T", bound=Term)


class Update:
    """What a block, or a merged group of blocks, says about the state: terms, one at most of each kind.

    Which kinds there are is said where they are needed, by the unknowns; nothing here knows them.
    """

    def __init__(self, *terms: Term | None) -> None:
        self._terms = {type(term): term for term in terms if term is not None}

    def find(self, kind: type[T]) -> T | None:
        """Its term of a kind; None where it has none, because it was not asked for."""
        return self._terms.get(kind)  # type: ignore[return-value]

    def __getitem__(self, kind: type[T]) -> T:
        term = self.find(kind)
        if term is None:
            raise KeyError(f"an update without {kind.__name__}: it was not asked for")
        return term

    @property
    def sums(self) -> Sums:
        """The scalars, which every update has."""
        return self[Sums]

    def put(self, *terms: Term) -> Update:
        """The update with these in place of its own of their kinds."""
        return Update(*{**self._terms, **{type(term): term for term in terms}}.values())

    def without(self, *kinds: type[Term]) -> Update:
        """The update without terms of these kinds."""
        return Update(*(term for kind, term in self._terms.items() if kind not in kinds))

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        return sum(term.nbytes for term in self._terms.values())

    @classmethod
    def merged(cls, updates: Sequence[Update]) -> Update:
        """Sum of updates in the order given, kind by kind."""
        kinds = dict.fromkeys(kind for update in updates for kind in update._terms)
        return cls(*(kind.merged([its for u in updates if (its := u.find(kind)) is not None]) for kind in kinds))
