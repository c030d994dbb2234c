"""Kafka clients log every hiccup that they get over by themselves; a command's output is for people, who need none of
it.
"""

import logging


def quiet_kafka_clients() -> None:
    """Silence them in this process; what they can't get over they raise."""
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
