"""Recordings of Freedoom, played by a scripted explorer, in the layout of the CS:GO data set."""
