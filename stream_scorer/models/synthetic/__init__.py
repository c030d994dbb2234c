"""Generated stops: a realistic population and invalid events."""
