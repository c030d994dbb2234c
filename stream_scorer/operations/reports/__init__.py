"""Reports from the topics: quality, producer scorecards."""
