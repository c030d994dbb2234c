"""`POST /predict/batch`: many events in, as a JSON array or as lines of JSON; their answers out, in the same order.

Invariant: reading never waits for a client that does not read yet: what is answered is kept, at most one answer for
each of `EVENTS_MAX` events; only events that are in flight are kept with their bodies.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.records.record import Headers
from stream_scorer.gateway.batch_answers import Answers, AskTogether, Slots
from stream_scorer.gateway.content_negotiation import negotiated, not_acceptable
from stream_scorer.gateway.doors import record_headers
from stream_scorer.gateway.metrics import GatewayMetrics
from stream_scorer.gateway.predict import Predictor
from stream_scorer.gateway.problem import Reply, problem, too_many
from stream_scorer.gateway.request_body import BODY_WAIT_S, read_body, wrong_media_type
from stream_scorer.runtime.settings.sections import GatewaySettings

NDJSON: Final = "application/x-ndjson"
MEDIA_TYPES: Final = ("application/json", NDJSON)
EVENTS_MAX: Final = 10_000
# Batches that are answered at one time
BATCHES_MAX: Final = 16
# For a client to send something, or to take in what was written to it
WRITE_WAIT_S: Final = 30.0

_decode_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class BatchPredictor:
    """Answers batches; all of them together have at most `batch_in_flight_max` events in flight."""

    def __init__(self, settings: GatewaySettings, predictor: Predictor, metrics: GatewayMetrics) -> None:
        self._settings, self._predictor, self._metrics = settings, predictor, metrics
        self._slots = Slots(settings.batch_in_flight_max)
        self._batches = 0

    async def view(self, request: web.Request) -> web.StreamResponse:
        if (wrong := wrong_media_type(request, MEDIA_TYPES)) is not None:
            return wrong.response()
        if self._batches >= BATCHES_MAX:
            return too_many(
                f"{BATCHES_MAX} batches are in progress, which is the limit: send it again later"
            ).response()
        self._batches += 1
        try:
            if request.content_type == NDJSON:
                return await self._answer_lines(request)
            return await self._answer_array(request)
        finally:
            self._batches -= 1

    async def _answer_array(self, request: web.Request) -> web.StreamResponse:
        if (answer_type := negotiated(request, "application/json", NDJSON)) is None:
            return not_acceptable(MEDIA_TYPES).response()
        body = await read_body(request, self._settings.batch_bytes_max)
        events = body if isinstance(body, Reply) else events_of(body)
        if isinstance(events, Reply):
            return events.response()
        return await self._write_answers(request, answer_type, _at_once(events))

    async def _answer_lines(self, request: web.Request) -> web.StreamResponse:
        lines = read_lines(request, self._settings.body_bytes_max, self._settings.batch_bytes_max)
        if (answer_type := negotiated(request, NDJSON, "application/json")) is None:
            return not_acceptable(MEDIA_TYPES).response()
        return await self._write_answers(request, answer_type, lines)

    async def _write_answers(
        self, request: web.Request, content_type: str, events: AsyncIterator[Sequence[bytes | Reply]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        is_array, first = content_type != NDJSON, True
        answers = Answers(self._ask(record_headers(request)), self._slots, events)
        async with answers as answered:
            async for lines in answered:
                if is_array:
                    await _write(response, (b"[" if first else b",\n") + b",\n".join(lines), answers)
                else:
                    await _write(response, b"\n".join(lines) + b"\n", answers)
                first = False
        if is_array:
            await _write(response, b"[]\n" if first else b"]\n", answers)
        return response

    def _ask(self, headers: Headers) -> AskTogether:
        async def ask(values: Sequence[bytes], tell: Callable[[int, Reply], None]) -> None:
            with self._metrics.batch_waiting(len(values)) as answered:

                def count_and_tell(number: int, reply: Reply) -> None:
                    answered()
                    self._metrics.event_answered(reply.status)
                    tell(number, reply)

                await self._predictor.answer_together(values, headers, count_and_tell)

        return ask


def events_of(body: bytes) -> list[bytes] | Reply:
    """The events of a JSON array, each as its own bytes; or what is answered to something else."""
    try:
        events = [bytes(event) for event in _decode_array(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parsed = parse(body)
        reasons = [parsed] if isinstance(parsed, Reason) else []
        return problem(HTTPStatus.BAD_REQUEST, "The body is not a JSON array of events", reasons)
    if len(events) > EVENTS_MAX:
        return problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{len(events)} events are more than one batch may have: {EVENTS_MAX}"
        )
    return events


async def _at_once(events: list[bytes]) -> AsyncIterator[Sequence[bytes | Reply]]:
    yield events


async def read_lines(
    request: web.Request, line_bytes_max: int, bytes_max: int
) -> AsyncIterator[Sequence[bytes | Reply]]:
    """The lines of a body, those that came in together at once, empty ones passed over. One that is too long is a
    reply, and so is the last one where the body breaks off or holds too much; nothing is read behind that."""
    pending, too_long, read, events = bytearray(), False, 0, 0
    while True:
        try:
            async with asyncio.timeout(BODY_WAIT_S):
                chunk = await request.content.readany()
        except TimeoutError:
            message = f"No further bytes came within {BODY_WAIT_S:g} s: send the remaining events again"
            yield [problem(HTTPStatus.REQUEST_TIMEOUT, message)]
            return
        read += len(chunk)
        pending += chunk or b"\n"
        *lines, rest = pending.split(b"\n")
        came: list[bytes | Reply] = []
        for line in lines:
            if not too_long and not line.strip():
                continue
            events += 1
            if events > EVENTS_MAX or read > bytes_max:
                limit = f"{EVENTS_MAX} events or {bytes_max} bytes"
                message = f"More than {limit} in one batch: send this event and those behind it again"
                yield [*came, problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)]
                return
            if too_long or len(line) > line_bytes_max:
                message = f"The line is longer than {line_bytes_max} bytes"
                came.append(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message))
            else:
                came.append(bytes(line))
            too_long = False
        if came:
            yield came
        pending = rest
        if len(pending) > line_bytes_max:
            too_long, pending = True, bytearray()
        if not chunk:
            return


async def _write(response: web.StreamResponse, content: bytes, answers: Answers) -> None:
    """Raises ConnectionResetError where the client is gone, or neither sends nor takes in anything for a while. One
    that reads only once it has sent everything is waited for."""
    writing = asyncio.ensure_future(response.write(content))
    try:
        while not (await asyncio.wait((writing,), timeout=WRITE_WAIT_S))[0]:
            if time.monotonic() - answers.read_at_s > WRITE_WAIT_S:
                raise ConnectionResetError("the client does not read its answers")
        writing.result()
    finally:
        writing.cancel()
