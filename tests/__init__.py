"""Tests, one folder for each room."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read as torch is imported: busy threads stall each other
