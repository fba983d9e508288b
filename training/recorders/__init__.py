"""Recorders of other games."""
