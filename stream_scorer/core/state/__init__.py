"""What a lane remembers about an id, and how it is restored from the topics."""
