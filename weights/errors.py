"""Errors of weights: each message is one line that says what is wrong and what to do."""


class WeightsError(Exception):
    """Weights are missing, damaged or out of reach."""


class UnknownWorldError(WeightsError):
    """No world of this name was bundled or published."""
