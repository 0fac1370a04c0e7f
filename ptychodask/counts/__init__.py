"""Counts as the solver wants them: events, patterns in their roles, thinning, subsets and random streams."""
