"""Jobs: what the public functions run; they join dataset, solver and cluster."""
