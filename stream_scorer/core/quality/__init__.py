"""Quality counts, metrics with their intervals, drift buckets."""
