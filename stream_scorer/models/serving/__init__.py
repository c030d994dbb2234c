"""A loaded model on the hot path: lookup tables, prediction cache."""
