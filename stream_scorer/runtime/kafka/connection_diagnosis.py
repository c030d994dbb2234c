"""Why one address can't be used as a broker: what was raised, and what speaks there instead.

Invariant: looks at an address only after a connection to it has failed; every look has an end.
"""

import asyncio
import errno
import ssl
import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import errors

LOOK_WAIT_S: Final = 1.5
# OpenSSL's numbers for a certificate that names another host, or another address
_ANOTHER_HOST: Final = (62, 64)
_NOT_KNOWN: Final = (errors.SaslAuthenticationFailed, errors.AuthenticationFailedError)
_NO_SUCH_MECHANISM: Final = (errors.UnsupportedSaslMechanismError, errors.AuthenticationMethodNotSupported)
_NO_WAY_THERE: Final = {errno.ENETUNREACH: "there is no route to it", errno.EHOSTUNREACH: "there is no route to it"}
_API_VERSIONS, _CORRELATION, _CLIENT = 18, 7, b"stream-scorer"


class ConnectionRefusal(NamedTuple):
    """Why an address can't be used, in words; `settings`: whether our settings are at fault and waiting won't help."""

    what: str
    settings: bool = False


class Speech(NamedTuple):
    """What answers at an address, by what it understands."""

    kafka: bool
    tls: bool
    http: bool


async def refusal_of(error: BaseException, host: str, port: int, security: Mapping[str, Any]) -> ConnectionRefusal:
    """What a failed connection means. `security`: how it was tried, as for any Kafka client."""
    if (what := _in_words(error, str(security.get("sasl_plain_username", "")))) is not None:
        return ConnectionRefusal(what, settings=True)
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefusal("the connection is refused, nothing listens there")
    if isinstance(error, OSError) and error.errno in _NO_WAY_THERE:
        return ConnectionRefusal(_NO_WAY_THERE[error.errno])
    return _spoken(await _listen(host, port), error, str(security.get("security_protocol", "PLAINTEXT")))


def _spoken(speech: Speech | None, error: BaseException, protocol: str) -> ConnectionRefusal:
    if speech is None:
        return ConnectionRefusal("no answer: packets are lost (a firewall, or a wrong address)")
    secured = protocol.endswith("SSL")
    if speech.http:
        return ConnectionRefusal(
            "it answers in HTTP, so it is not a broker: is this another service's port?", settings=True
        )
    if speech.tls and not speech.kafka and not secured:
        return ConnectionRefusal(
            f"it speaks TLS, and kafka.security_protocol is {protocol}. Set SSL or SASL_SSL, or name the port of a "
            "listener in plain text.",
            settings=True,
        )
    if speech.kafka and secured:
        return ConnectionRefusal(
            f"it does not speak TLS, and kafka.security_protocol is {protocol}. Set PLAINTEXT or SASL_PLAINTEXT, "
            "or name the port of a listener with TLS.",
            settings=True,
        )
    if (fault := _tls_fault(error)) is not None:
        return ConnectionRefusal(
            f"the TLS handshake failed ({fault}). Check kafka.security_protocol against the broker's "
            "listener and, where it wants a certificate of ours, kafka.ssl_certificate_file and kafka.ssl_key_file.",
            settings=True,
        )
    if (speech.kafka or speech.tls) and not protocol.startswith("SASL") and not isinstance(error, TimeoutError):
        return ConnectionRefusal(
            f"it closes connections without a user, and kafka.security_protocol is {protocol}. Set SASL_PLAINTEXT or "
            "SASL_SSL with kafka.sasl_mechanism, kafka.sasl_username and the password.",
            settings=True,
        )
    if speech.kafka or speech.tls:
        return ConnectionRefusal("it answers, but not in time: it is starting, or too busy")
    return ConnectionRefusal("it accepts connections but does not answer as a broker: it is stuck, or not a broker")


def _in_words(error: BaseException, user: str) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _ANOTHER_HOST:
            return (
                f"its certificate is for another host ({error.verify_message.rstrip('.')}). Either kafka.bootstrap "
                "does not name the host as the certificate does, or another host answers there."
            )
        return (
            f"its certificate is not trusted ({error.verify_message.rstrip('.')}). Check that "
            "kafka.ssl_ca_file holds the CA that signed it."
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return (
            "its listener asks for no user, and kafka.security_protocol names one. Set PLAINTEXT or SSL, "
            "or name the port of a listener with SASL."
        )
    if isinstance(error, _NOT_KNOWN):
        return (
            f"it does not know the user {user!r} with this password. Check kafka.sasl_username, the password, and "
            "kafka.sasl_mechanism: each mechanism has users of its own."
        )
    if isinstance(error, _NO_SUCH_MECHANISM):
        return f"it does not support this kafka.sasl_mechanism{_mechanisms(error)}."
    if isinstance(error, ValueError):  # of the proof that the broker, too, knows the password
        return f"it could not prove that it knows the password of {user!r}: it may be an impostor"
    return None if error.__cause__ is None else _in_words(error.__cause__, user)


def _tls_fault(error: BaseException | None) -> str | None:
    """What OpenSSL calls it, where it or what caused it is a fault of TLS."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return str(error.reason or error)
        error = error.__cause__
    return None


def _mechanisms(error: BaseException) -> str:
    _, enabled, names = str(error).partition("Enabled mechanisms are: ")
    return f", only {names.strip('[]')}" if enabled else ""


async def _listen(host: str, port: int) -> Speech | None:
    """What speaks at an address; None where it can't even be connected to in time."""
    try:
        async with asyncio.timeout(LOOK_WAIT_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError):
        return None
    return Speech(*await asyncio.gather(_speaks_kafka(host, port), _speaks_tls(host, port), _speaks_http(host, port)))


async def _speaks_kafka(host: str, port: int) -> bool:
    body = struct.pack(f">hhih{len(_CLIENT)}s", _API_VERSIONS, 0, _CORRELATION, len(_CLIENT), _CLIENT)
    answer = await _answer(host, port, struct.pack(">i", len(body)) + body, 8)
    return len(answer) == 8 and struct.unpack(">ii", answer)[1] == _CORRELATION


async def _speaks_http(host: str, port: int) -> bool:
    return (await _answer(host, port, b"GET / HTTP/1.0\r\n\r\n", 5)) == b"HTTP/"


async def _answer(host: str, port: int, request: bytes, size: int) -> bytes:
    """The first `size` bytes that come back; fewer where it hangs up or takes too long."""
    try:
        async with asyncio.timeout(LOOK_WAIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                await writer.drain()
                return await reader.readexactly(size)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return b""


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(LOOK_WAIT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it refuses us in TLS's own words
    except (OSError, TimeoutError):
        return False
    return True
