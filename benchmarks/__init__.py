"""One command for each table: fast paths beside plain ones, timed in the same run (``python -m benchmarks.frame`` …).

Not installed with the application: run it from a checkout.
"""
