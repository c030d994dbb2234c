"""Questions about dead letters: filter, search, group, view, lineage."""
