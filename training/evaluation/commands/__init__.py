"""The commands of ``diamond-eval``."""
