"""Lanes: the consumer loop, buffers, batches, the score and join steps."""
