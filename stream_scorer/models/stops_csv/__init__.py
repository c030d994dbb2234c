"""CSV files of stops: read strictly, by the same rules for sending, checking and training."""
