"""Images of a scan without a reconstruction: one pass over the counts, block by block, on a cluster."""
