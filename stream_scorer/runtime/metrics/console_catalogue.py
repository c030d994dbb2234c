"""Every metric that the console's process shows.

Invariant: as in the workers' catalogue: base units, and labels whose values are a closed set.
"""

from typing import Final

from stream_scorer.runtime.metrics.definitions import counter, singles

# What was shown: a token in a header, a token in the form, a session's cookie, the answer of an OpenID provider
LOGIN_WAYS: Final = ("bearer", "form", "session", "oidc")

LOGIN_FAILURES = counter(
    "login_failures", "1", "Requests to the console with an invalid token, session or account", "by",
    of=singles(LOGIN_WAYS),
)  # fmt: skip
LOGINS_THROTTLED = counter(
    "logins_throttled", "1", "Login attempts refused unchecked, because too many before them had failed", "by",
    of=singles(LOGIN_WAYS),
)  # fmt: skip

CONSOLE_CATALOGUE: Final = (LOGIN_FAILURES, LOGINS_THROTTLED)
