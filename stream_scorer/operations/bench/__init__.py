"""Benchmarks of one real worker on a real Kafka, measured from outside: what is committed and readable counts, not
what the worker says.
"""
