"""Why no broker lets us in, where that is no outage: a certificate that can't be trusted, a user that is not known.

Invariant: asked only after a client has failed to connect; a broker that is merely away is no fault of the settings.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn

from stream_scorer.errors import SettingsError

_WAIT_MS: Final = 5_000
# OpenSSL's numbers for a certificate that names another host, or another address
_ANOTHER_HOST: Final = (62, 64)
_NOT_KNOWN: Final = (
    errors.SaslAuthenticationFailed,
    errors.AuthenticationFailedError,
    errors.IllegalSaslStateError,
)
_NO_SUCH_MECHANISM: Final = (errors.UnsupportedSaslMechanismError, errors.AuthenticationMethodNotSupported)


async def diagnose_connection(options: Mapping[str, Any]) -> SettingsError | None:
    """What the first broker that answers has against us, or we against it; None where none answers or one lets us in.
    `options`: how to connect, as for any Kafka client."""
    security = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    for host, port, _ in collect_hosts(options["bootstrap_servers"]):
        try:
            connection = await create_conn(host, port, request_timeout_ms=_WAIT_MS, **security)
        except Exception as error:
            if (what := _in_words(error, str(options.get("sasl_plain_username", "")))) is not None:
                return SettingsError(f"Kafka at {host}:{port} can't be used: {what}")
        else:
            connection.close()
            return None
    return None


def _in_words(error: BaseException, user: str) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _ANOTHER_HOST:
            return (
                f"its certificate is for another host ({error.verify_message.rstrip('.')}). Either kafka.bootstrap "
                "does not name the host as the certificate does, or somebody else answers there."
            )
        return (
            f"its certificate is not to be trusted ({error.verify_message.rstrip('.')}). Check that "
            "kafka.ssl_ca_file holds who signed it."
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS does not come about ({error.reason or error}). Check kafka.security_protocol against the broker's "
            "listener and, where it wants a certificate of ours, kafka.ssl_certificate_file and kafka.ssl_key_file."
        )
    if isinstance(error, _NOT_KNOWN):
        return (
            f"it does not know the user {user!r} with this password. Check kafka.sasl_username, the password, and "
            "kafka.sasl_mechanism: each mechanism has users of its own."
        )
    if isinstance(error, _NO_SUCH_MECHANISM):
        return f"it does not take this kafka.sasl_mechanism ({error})."
    if isinstance(error, ValueError):  # of the proof that the broker, too, knows the password
        return f"it can't prove that it knows the password of {user!r}: it may be somebody else's ({error})"
    return None if error.__cause__ is None else _in_words(error.__cause__, user)
