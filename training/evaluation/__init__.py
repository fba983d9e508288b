"""What a world, an agent or a data set is worth: fidelity of dreams, scores in real games, contents of episodes."""
