"""The on-disk index of dead letters."""
