"""One command a table: the fast paths beside the plain ones, timed in the same run (``python -m benchmarks.frame`` …).

Not installed with the application: run from a checkout.
"""
