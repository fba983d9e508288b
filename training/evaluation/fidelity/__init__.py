"""How close dreams are to real play: Atari beside the emulator, first-person worlds beside recordings."""
