"""The demo: a real Kafka, a real worker and a realistic stream, seen through the topics alone."""
