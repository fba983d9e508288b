"""A first-person world without the network: Freedoom, played by a scripted explorer, recorded as CS:GO is."""
