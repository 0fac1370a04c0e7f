"""The live page: what a run shows of itself on Dask's dashboard, while it runs and somebody looks."""
