"""Pure functions and values, from bytes to records: no I/O, no clock, no Kafka, no logging."""
