"""Algorithm 1 of the paper and its single steps: collect experience, learn the world, learn to act in its dreams."""
