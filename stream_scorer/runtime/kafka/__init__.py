"""The Kafka client: connection, errors, fetching, record batches."""
