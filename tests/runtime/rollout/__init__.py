"""Tests of stream_scorer.runtime.rollout."""
