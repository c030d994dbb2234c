"""Settings: sections, fields, layers."""
