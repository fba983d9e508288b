"""Tests, one folder for each room."""

import os

# read as torch is imported, here and in the processes that tests start
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # busy threads stall each other
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks gain nothing from threads, and tests side by side lose
