"""Checks that people run: smoke test, offline validation of files."""
