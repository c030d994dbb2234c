"""Drawings of what a model says, as SVG files."""
