"""A trainer for each network, and their common update."""
