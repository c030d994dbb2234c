"""The records of every topic: what they hold, how they are encoded and read."""
