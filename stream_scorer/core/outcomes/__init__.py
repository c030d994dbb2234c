"""A batch of outcomes: joins, corrections, expiry."""
