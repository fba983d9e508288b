"""Entry points of ``diamond-train`` and ``diamond-eval``. Ctrl-C works even while torch is being imported."""

from __future__ import annotations

import sys
from importlib import import_module


def train() -> None:
    """``diamond-train``."""
    _enter("training.cli")


def evaluate() -> None:
    """``diamond-eval``."""
    _enter("training.evaluation.cli")


def _enter(module: str) -> None:
    try:
        import_module(module).main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
