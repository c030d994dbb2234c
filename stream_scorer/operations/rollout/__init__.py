"""What people do with models before and while they serve."""
