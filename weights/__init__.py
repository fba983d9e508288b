"""Where worlds are: bundled in this package, or published by the authors of the paper on the Hugging Face hub."""

from weights.bundle import bundled_folder
from weights.checksums import write_checksums
from weights.errors import UnknownWorldError, WeightsError
from weights.hub import Notice, to_stderr
from weights.sources import Entry, catalogue, check_published, locate

__all__ = [
    "Entry",
    "Notice",
    "UnknownWorldError",
    "WeightsError",
    "bundled_folder",
    "catalogue",
    "check_published",
    "locate",
    "to_stderr",
    "write_checksums",
]
