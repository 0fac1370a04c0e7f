"""Results of other programs, whose object and probe a run can begin with: one file each, and what they share."""
