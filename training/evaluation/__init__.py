"""Evaluation of worlds, agents and data sets: fidelity of dreams, scores in real games, contents of episodes."""
