"""Load on a gateway as its clients make it: single requests, batches, and a mix with outcomes and look-ups.

    locust -f tests/load/locustfile.py --headless --host http://127.0.0.1:8090 -u 50 -r 10 -t 1m

Whoever is told to come again (429, 503, 504, a connection that broke) sends the same request again, as the page for
clients says. What was answered 200 is appended to the file that STREAM_SCORER_LOAD_ANSWERED names, so that it can be
held against the topics afterwards.
"""

import itertools
import json
import os
import random
import secrets
import time
from typing import Any, Final

from locust import FastHttpUser, constant, constant_throughput, tag, task
from locust.contrib.fasthttp import FastResponse

AGAIN: Final = {0, 429, 503, 504}
TRIES_MAX: Final = 60
RETRY_WAIT_S: Final = 1.0
BATCH_EVENTS: Final = 500
# Requests a second of each user; 0: one after the other. A batch counts as twenty
PACE: Final = float(os.environ.get("STREAM_SCORER_LOAD_PACE", "0"))
BATCH_PACE: Final = PACE / 20
# Of what a known id is asked for
OUTCOME_SHARE, LOOKUP_SHARE, REPEAT_SHARE, BROKEN_SHARE = 0.3, 0.2, 0.05, 0.03

REASONS: Final = ("Stop Sign", "Speed Related", "Cell Phone", "Defective Lights", "Registration", "Window Tint")
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# one run's ids are nobody else's
RUN: Final = secrets.token_hex(4)
_numbers: Final = itertools.count()


def an_event(draw: random.Random, *, broken: bool = False) -> dict[str, Any]:
    """A stop, made up."""
    return {
        "id": f"load-{RUN}-{next(_numbers)}",
        "observation": {
            "SubjectRaceCode": draw.choice("WBAI"),
            "SubjectSexCode": draw.choice("MF"),
            "SubjectEthnicityCode": draw.choice("HMN"),
            "StatuteReason": draw.choice(REASONS),
            "InterventionReasonCode": draw.choice("VEI"),
            "ResidentIndicator": draw.random() < 0.5,
            "SearchAuthorizationCode": draw.choice("OICN"),
            "SubjectAge": 5 if broken else draw.randint(15, 90),
            "hour": draw.randint(0, 24),
            "day_of_week": draw.choice(DAYS),
        },
    }


class Answered:
    """Notes what was promised to clients: an id and its probability a line."""

    def __init__(self) -> None:
        path = os.environ.get("STREAM_SCORER_LOAD_ANSWERED")
        self._file = open(path, "a", buffering=1) if path else None  # noqa: SIM115, PTH123  # open until the end

    def note(self, predictions: list[dict[str, Any]]) -> None:
        if self._file is not None:
            self._file.write("".join(f"{one['id']} {one['proba']!r}\n" for one in predictions))


answered = Answered()


class GatewayUser(FastHttpUser):
    """Somebody who sends again what was not answered."""

    abstract = True
    wait_time = constant_throughput(PACE) if PACE else constant(0)

    def on_start(self) -> None:
        self.draw = random.Random(secrets.randbits(32))

    def ask(self, path: str, body: bytes, expected: set[int], content_type: str = "application/json") -> Any:
        """The answer, once it is one; a try that is not counts as a failure."""
        for _ in range(TRIES_MAX):
            with self.client.post(
                path, data=body.decode(), headers={"Content-Type": content_type}, name=path, catch_response=True
            ) as response:
                if self._is_answer(response, expected):
                    return response
            time.sleep(RETRY_WAIT_S * self.draw.random())  # gevent's: the others go on
        return None

    def _is_answer(self, response: FastResponse, expected: set[int]) -> bool:
        if response.status_code in expected:
            response.success()
            return True
        response.failure(f"HTTP status {response.status_code}")
        # what will never be an answer is not asked for again
        return response.status_code not in AGAIN

    def predict(self, event: dict[str, Any], *, broken: bool = False) -> None:
        response = self.ask("/predict", json.dumps(event).encode(), {422} if broken else {200})
        if response is not None and response.status_code == 200:
            answered.note([response.json()])


class SingleUser(GatewayUser):
    """One request after the other."""

    weight = 3

    @tag("single")
    @task
    def one(self) -> None:
        broken = self.draw.random() < BROKEN_SHARE
        event = an_event(self.draw, broken=broken)
        self.predict(event, broken=broken)
        if not broken and self.draw.random() < REPEAT_SHARE:
            self.predict(event)


class BatchUser(GatewayUser):
    """Lines of JSON, many at once."""

    weight = 1
    wait_time = constant_throughput(BATCH_PACE) if BATCH_PACE else constant(0)

    @tag("batch")
    @task
    def many(self) -> None:
        events = [an_event(self.draw) for _ in range(BATCH_EVENTS)]
        while events:
            body = b"\n".join(json.dumps(event).encode() for event in events)
            response = self.ask("/predict/batch", body, {200}, "application/x-ndjson")
            if response is None or response.status_code != 200:
                return
            answers = [json.loads(line) for line in response.content.splitlines()]
            predicted = [one for one in answers if one["status"] == 200]
            answered.note(predicted)
            # each line has its own status; what was not answered goes again
            known = {one["id"] for one in predicted}
            events = [event for event in events if event["id"] not in known]


class MixedUser(GatewayUser):
    """Predictions, outcomes of some, and look-ups of some."""

    weight = 2

    @tag("mixed")
    @task
    def with_outcome(self) -> None:
        event = an_event(self.draw)
        self.predict(event)
        if self.draw.random() < OUTCOME_SHARE:
            outcome = {"id": event["id"], "true_class": self.draw.random() < 0.4}
            self.ask("/update", json.dumps(outcome).encode(), {200, 202})
        if self.draw.random() < LOOKUP_SHARE:
            path = f"/stops/{event['id']}"
            with self.client.get(path, name="/stops/{id}", catch_response=True) as response:
                if response.status_code in (200, 503):
                    response.success()
