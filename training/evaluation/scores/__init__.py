"""What an agent is worth: scores of real games, and a suite of them beside the paper."""
