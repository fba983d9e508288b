"""What is learned from: episodes, the policies that play them, and the segments drawn from them."""
