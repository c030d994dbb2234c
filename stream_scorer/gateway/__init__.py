"""The HTTP API in front of the stream, for clients without Kafka.

Invariant: it keeps nothing: what it answers is what the topics say, so any number of gateways answer alike.
"""
