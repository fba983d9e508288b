"""``python -m weights FOLDER``: writes the ``SHA256SUMS`` of a world folder that is about to be bundled."""

import argparse
from pathlib import Path

from weights.checksums import write_checksums
from weights.errors import WeightsError


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m weights", description="Write the SHA256SUMS of a world folder.")
    parser.add_argument("folder", type=Path, help="the world folder, such as weights/bundled/atari/Breakout")
    try:
        print(write_checksums(parser.parse_args().folder))
    except WeightsError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
