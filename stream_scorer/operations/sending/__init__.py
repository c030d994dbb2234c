"""Sending events: sources, schedules, waiting for results."""
