"""What a player notices of a world."""
