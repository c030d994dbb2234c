"""A batch of observations: validation, deduplication, scoring, prediction records."""
