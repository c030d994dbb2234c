"""The files of a model directory: card, archive, trusted types."""
