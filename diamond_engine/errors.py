"""The errors of the library: each message is one line that says what is wrong and what to do."""


class DiamondError(Exception):
    """Something went wrong (exit code 1)."""


class UsageError(DiamondError):
    """The command or call asked for something invalid or missing, such as a path that does not exist (exit code 2)."""
