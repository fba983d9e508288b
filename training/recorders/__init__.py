"""What records other games into data sets."""
