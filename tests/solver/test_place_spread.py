"""How far patterns are from where the dataset says, before any of them moves."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.model.places import PlaceRules
from ptychodask.solver.unknowns.positions import PlaceSums, likely, spread

RULES = PlaceRules(4, prior=0.5, limit=3.0)
INFORMATION = np.random.default_rng(1).uniform(20, 400, (900, 2))


def measured(displaced, off):
    """Descents of patterns that are now at ``off`` and ought to be at ``displaced``, with the noise of electrons."""
    noise = np.random.default_rng(2).standard_normal(displaced.shape) * np.sqrt(INFORMATION)
    return INFORMATION * (displaced - off) + noise


@pytest.mark.parametrize("true", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("gone", [0.0, 0.5, 1.0])
def test_it_is_theirs_wherever_they_are_now(true, gone):
    displaced = np.random.default_rng(3).standard_normal((900, 2)) * true
    off = gone * displaced
    ends = INFORMATION * off + measured(displaced, off)
    assert spread(RULES, ends, INFORMATION) == pytest.approx(true, rel=0.1, abs=0.01)


def test_right_places_have_next_to_none():
    nowhere = np.zeros((900, 2))
    assert spread(RULES, measured(nowhere, nowhere), INFORMATION) < 0.03
    assert spread(RULES, 0.9 * measured(nowhere, nowhere), INFORMATION) == 0  # the object took some of it up


def test_it_is_the_prior_at_most_and_patterns_without_information_say_nothing():
    far = np.full((900, 2), 2.0)
    assert spread(RULES, measured(far, 0 * far), INFORMATION) == RULES.prior
    blind = np.zeros((900, 2))
    assert spread(RULES, blind, blind) == 0


def test_what_neighbours_share_is_seen_where_the_noise_of_one_hides_it():
    """Rows that drift by as much as the noise of one pattern, and patterns that are left out."""
    seen = np.delete(np.arange(900), [*range(40, 52), 700])
    drift = np.stack([0.1 * np.cos(np.pi * np.arange(30) / 29).repeat(30), np.zeros(900)], axis=1)[seen]
    information = np.full(drift.shape, 100.0)
    noise = np.random.default_rng(4).standard_normal(drift.shape) / 10
    its = PlaceSums(seen, np.stack([0 * information, information], axis=-1))
    found = likely(RULES, information * (drift + noise), its, (30, 30))
    assert np.sqrt(((found - drift) ** 2).mean()) < 0.3 * np.sqrt((drift**2).mean())
    assert np.abs(likely(RULES, information * noise, its, (30, 30))).max() < 0.03


def test_what_each_has_for_itself_is_kept():
    displaced = 0.4 * np.random.default_rng(5).standard_normal((900, 2))
    information = np.full(displaced.shape, 400.0)
    its = PlaceSums(np.arange(900), np.stack([0 * information, information], axis=-1))
    found = likely(RULES, information * displaced, its, (30, 30))
    assert np.sqrt(((found - displaced) ** 2).mean()) < 0.03
