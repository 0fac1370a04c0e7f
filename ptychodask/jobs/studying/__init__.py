"""Studies: many simulated reconstructions as tasks of one cluster, each finished one kept by its content."""
