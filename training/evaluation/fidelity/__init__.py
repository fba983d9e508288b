"""Fidelity of dreams: Atari against the emulator, first-person worlds against recordings."""
