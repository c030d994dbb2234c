"""Model directories: save, load, verify; the default model."""
