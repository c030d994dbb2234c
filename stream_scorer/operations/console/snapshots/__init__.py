"""What the console shows of the worker and of Kafka, sampled over time."""
