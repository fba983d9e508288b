"""Errors a person can act on: each message is one line that says what is wrong and what to do."""


class DiamondError(Exception):
    """Something went wrong (exit code 1)."""


class UsageError(DiamondError):
    """The command or call asked for something that makes no sense or does not exist, also a path (exit code 2)."""
