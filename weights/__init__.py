"""Which world is where: bundled in this package, or published by the authors of the paper on the Hugging Face hub."""

from weights.bundle import bundled_folder
from weights.checksums import write_checksums
from weights.sources import Entry, catalogue, locate

__all__ = ["Entry", "bundled_folder", "catalogue", "locate", "write_checksums"]
