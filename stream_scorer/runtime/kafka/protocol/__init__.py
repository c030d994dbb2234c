"""The requests of a transaction that the client library lacks, and who sends them."""
