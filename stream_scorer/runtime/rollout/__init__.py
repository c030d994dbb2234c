"""Models in production as a worker sees them: control records, uploaded models, switches, and who serves."""
