"""What learns: a trainer for each network, and the one update that all of them make."""
