"""The benchmark, games × seeds, as runs of Algorithm 1 on the GPUs of a machine or a cluster (``suite``)."""
