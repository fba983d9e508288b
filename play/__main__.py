"""``python -m play`` is ``diamond-play``."""

from play.cli import main

main()
