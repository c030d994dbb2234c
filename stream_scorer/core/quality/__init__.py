"""Quality counts, metrics with their intervals, drift buckets, and the rule of the business."""

from stream_scorer.core.quality.success_rate import verify_success_rate_above

__all__ = ["verify_success_rate_above"]
