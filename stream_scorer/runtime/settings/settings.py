"""The settings as one frozen object, read once at the start.

Invariant: nothing else reads a settings file, and but for the cache folder (`cache.py`) nothing else a variable.
"""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from stream_scorer.core.rollout.contrasts import contrast_faults
from stream_scorer.errors import SettingsError
from stream_scorer.runtime.settings.fields import masked_section
from stream_scorer.runtime.settings.layers import Problems, read_layers, read_toml
from stream_scorer.runtime.settings.sections import (
    BusinessSettings,
    ConsoleSettings,
    GatewaySettings,
    HttpSettings,
    KafkaSettings,
    LoggingSettings,
    ModelSettings,
    ModelsSettings,
    OidcSettings,
    OperatorSettings,
    TopicsSettings,
    WorkerSettings,
)
from stream_scorer.runtime.settings.strength import ADVICE, weakness

__all__ = [
    "BusinessSettings",
    "ConsoleSettings",
    "GatewaySettings",
    "HttpSettings",
    "KafkaSettings",
    "LoggingSettings",
    "ModelSettings",
    "ModelsSettings",
    "OidcSettings",
    "OperatorSettings",
    "Settings",
    "TopicsSettings",
    "WorkerSettings",
    "is_loopback",
    "load_settings",
    "masked",
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections. What is derived from several of them (names that carry the prefix) is a property here."""

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicsSettings = TopicsSettings()
    worker: WorkerSettings = WorkerSettings()
    model: ModelSettings = ModelSettings()
    models: ModelsSettings = ModelsSettings()
    http: HttpSettings = HttpSettings()
    console: ConsoleSettings = ConsoleSettings()
    oidc: OidcSettings = OidcSettings()
    gateway: GatewaySettings = GatewaySettings()
    logging: LoggingSettings = LoggingSettings()
    business: BusinessSettings = BusinessSettings()
    operator: OperatorSettings = OperatorSettings()

    @property
    def group_name(self) -> str:
        """The consumer group, with the prefix."""
        return self.topics.prefix + self.worker.group

    def transactional_id(self, partition: int) -> str:
        """The transactional id of a partition's lane: whoever starts it fences the lane's former owner."""
        return f"{self.group_name}-{partition}"

    @property
    def state_path(self) -> Path:
        """The folder of this environment's state: two prefixes or groups never share one."""
        return Path(self.worker.state_folder or default_state_folder()) / self.group_name


def default_state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "stream-scorer"


def load_settings(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] = {}, *, for_use: bool = True
) -> Settings:
    """Settings from a TOML file, then `STREAM_SCORER_SECTION_NAME` variables, then overrides; the later one wins.

    Overrides are keyed `section.name`; one whose value is None (an option not given) is passed over. Raises
    SettingsError with every problem of all three at once; no secret's value ever stands in its message.

    With `for_use` off, secrets and certificates, which are only where they are used, are not looked for.
    """
    problems: Problems = []
    file = read_toml(path, problems) if path is not None else {}
    given = {key: value for key, value in overrides.items() if value is not None}
    settings = read_layers(Settings, file, str(path), environ, given, problems, secrets=for_use)
    if not problems and for_use:
        problems.extend(contradictions(settings))
    if problems:
        lead = "these settings can't be used:" if len(problems) > 1 else "a setting can't be used:"
        raise SettingsError("\n  - ".join([lead, *problems]))
    return settings


def masked(settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings as sections of plain values, each secret as `***` (empty where it is not set): fit for a log."""
    return {section: masked_section(getattr(settings, section)) for section in settings.__struct_fields__}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is served at the host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def contradictions(settings: Settings) -> Iterator[str]:
    """What no setting can tell by itself."""
    yield from wrong_addresses(settings.kafka.bootstrap)
    yield from sasl_contradictions(settings.kafka)
    yield from tls_contradictions(settings.kafka)
    yield from wrong_worker_urls(settings.console.workers)
    yield from (f"models.contrasts: {fault}" for fault in contrast_faults(settings.models.contrasts))
    if bool(settings.gateway.tls_certificate_file) != bool(settings.gateway.tls_key_file):
        yield "gateway.tls_certificate_file and gateway.tls_key_file: HTTPS needs both"
    for origin in settings.gateway.cors_origins:
        if not re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[a-z0-9][a-z0-9._-]*)(:\d{1,5})?", origin):
            yield f"gateway.cors_origins: {origin!r} is not an origin as browsers send it, such as https://stops.example"
    if settings.worker.dead_letter_bytes_max < settings.worker.event_bytes_max:
        yield "worker.dead_letter_bytes_max: smaller than worker.event_bytes_max: an event could be scored but not kept"
    yield from token_faults(settings.http)
    yield from oidc_contradictions(settings.oidc)


def token_faults(http: HttpSettings) -> Iterator[str]:
    if http.act_token and http.act_token == http.view_token:
        yield "http.act_token: the same as http.view_token, so every reader could act"
    if http.deploy_token and http.deploy_token in (http.view_token, http.act_token):
        yield "http.deploy_token: the same as another token, so that everybody with that one could deploy"
    for name in ("view_token", "act_token", "deploy_token"):
        token = getattr(http, name)
        if token and (why := weakness(token)) is not None:
            yield f"http.{name}: too easy to guess, {why}: {ADVICE}"


def oidc_contradictions(oidc: OidcSettings) -> Iterator[str]:
    if not oidc.issuer:
        if oidc != OidcSettings():
            yield "oidc.issuer: missing, the other settings of [oidc] need it"
        return
    for name in ("client_id", "client_secret", "public_url"):
        if not getattr(oidc, name):
            secret = ": set STREAM_SCORER_OIDC_CLIENT_SECRET or oidc.client_secret_file"
            yield f"oidc.{name}: missing, oidc.issuer needs it{secret if name == 'client_secret' else ''}"
    for name in ("issuer", "public_url"):
        url = urlsplit(getattr(oidc, name))
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            yield f"oidc.{name}: not an https:// address: what is sent there could be read on the way"
        elif url.query or url.fragment or url.username:
            yield f"oidc.{name}: an address without a user, a query and a fragment is needed"
    if urlsplit(oidc.public_url).path not in ("", "/"):
        yield "oidc.public_url: the page is served at the root of a host, leave the path out"
    if not (oidc.viewer_groups or oidc.operator_groups or oidc.deployer_groups):
        yield "oidc.viewer_groups: nobody could log in: name the groups of viewers, operators or deployers"
    if "openid" not in oidc.scopes:
        yield "oidc.scopes: must hold `openid`"


def wrong_addresses(bootstrap: str) -> Iterator[str]:
    for address in bootstrap.split(","):
        matched = re.fullmatch(r"\s*(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(\d{1,5})\s*", address)
        if not matched or int(matched[2]) > 65_535:
            yield f"kafka.bootstrap: {address.strip()!r} is not `host:port`"


def wrong_worker_urls(urls: tuple[str, ...]) -> Iterator[str]:
    for url in urls:
        if not re.fullmatch(r"http://(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]]+)(:\d{1,5})?/?", url):
            yield f"console.workers: {url!r} is not `http://host:port`"


def sasl_contradictions(kafka: KafkaSettings) -> Iterator[str]:
    if kafka.security_protocol.startswith("SASL"):
        if not kafka.sasl_username:
            yield f"kafka.sasl_username: missing, {kafka.security_protocol} needs it"
        if not kafka.sasl_password:
            advice = "set STREAM_SCORER_KAFKA_SASL_PASSWORD or kafka.sasl_password_file"
            yield f"kafka.sasl_password: missing, {kafka.security_protocol} needs it: {advice}"
    elif kafka.sasl_username or kafka.sasl_password:
        advice = "say SASL_SSL, or leave them out"
        yield f"kafka.security_protocol: {kafka.security_protocol} uses no user name and password: {advice}"


def tls_contradictions(kafka: KafkaSettings) -> Iterator[str]:
    encrypted = kafka.security_protocol in ("SSL", "SASL_SSL")
    for name in ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file"):
        file = getattr(kafka, name)
        if file and not encrypted:
            yield f"kafka.{name}: set, but {kafka.security_protocol} uses no TLS: say SSL or SASL_SSL, or leave it out"
        elif file and not Path(file).is_file():
            yield f"kafka.{name}: there is no file {file}"
    if encrypted and bool(kafka.ssl_certificate_file) != bool(kafka.ssl_key_file):
        yield "kafka.ssl_certificate_file and kafka.ssl_key_file: mutual TLS needs both"
