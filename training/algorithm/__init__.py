"""Algorithm 1 of the paper: collect experience, learn the world, learn to act in its dreams; its single steps too."""
