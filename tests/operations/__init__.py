"""What operators run, as far as it needs no Kafka."""
