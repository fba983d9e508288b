"""First-person worlds of two stages from recordings in the layout of the CS:GO data set, or of one's own game."""
