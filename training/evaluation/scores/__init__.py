"""Scores of agents in real games, and suites of them against the paper."""
