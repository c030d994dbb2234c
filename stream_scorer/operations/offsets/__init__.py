"""The group's offsets: shown, and set by an operator."""
