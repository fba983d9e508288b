"""Tests, one folder for each room."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: beside other programs, waiting busily stalls
