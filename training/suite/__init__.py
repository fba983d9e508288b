"""The benchmark, games × seeds, as runs of Algorithm 1 over the GPUs of a machine or of a cluster (``suite``)."""
