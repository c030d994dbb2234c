"""Where every input record ended, derived from the topics alone."""
