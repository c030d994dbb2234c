"""Reading topics to their ends, and group offsets."""
