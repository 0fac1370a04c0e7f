"""From a file of a detector to a dataset: what is known of it, a look at some frames, then shards on a cluster."""
