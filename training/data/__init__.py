"""Training data: episodes, the policies that play them, and the segments drawn from them."""
