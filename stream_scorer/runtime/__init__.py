"""The worker: what touches Kafka, the disk, the network and the clock while events are scored."""
