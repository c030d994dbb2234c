"""stream-scorer: scores events on Apache Kafka with scikit-learn models, each exactly once."""

__version__ = "0.1.0"
