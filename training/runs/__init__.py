"""A run folder: its settings, checkpoints, metrics and progress, and the processes that share its work."""
