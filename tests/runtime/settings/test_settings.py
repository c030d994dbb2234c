"""Settings: layers win in their order, every problem is said at once, and no secret is ever shown."""

from pathlib import Path

import pytest

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.settings.fields import settings_fields
from stream_scorer.runtime.settings.settings import (
    KafkaSettings,
    Settings,
    default_state_folder,
    is_loopback,
    load_settings,
    masked,
)

DEPLOYED = Path(__file__).parents[3] / "deploy" / "settings"


def toml(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None = None, environ: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(path, environ or {}, {key.replace("__", "."): value for key, value in overrides.items()})
    return str(refused.value)


def test_nothing_given_is_the_defaults() -> None:
    assert load_settings(None, {}) == Settings()


def test_a_variable_wins_over_the_file_and_an_option_over_both(tmp_path: Path) -> None:
    path = toml(tmp_path, '[kafka]\nbootstrap = "file:1"\n[http]\nport = 1\nhost = "127.0.0.3"\n')
    environ = {"STREAM_SCORER_KAFKA_BOOTSTRAP": "variable:2", "STREAM_SCORER_HTTP_PORT": "2"}
    settings = load_settings(path, environ, {"kafka.bootstrap": "option:3"})
    assert (settings.kafka.bootstrap, settings.http.port, settings.http.host) == ("option:3", 2, "127.0.0.3")


def test_an_option_that_was_not_given_overrides_nothing() -> None:
    assert load_settings(None, {"STREAM_SCORER_TOPICS_PREFIX": "x."}, {"topics.prefix": None}).topics.prefix == "x."


def test_an_empty_option_overrides() -> None:
    assert load_settings(None, {"STREAM_SCORER_TOPICS_PREFIX": "x."}, {"topics.prefix": ""}).topics.prefix == ""


def test_an_empty_variable_sets_nothing() -> None:
    assert load_settings(None, {"STREAM_SCORER_HTTP_PORT": "", "STREAM_SCORER_WORKER_GROUP": ""}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        pytest.param("HTTP_PORT", "0", 0, id="whole number"),
        pytest.param("WORKER_JOIN_WINDOW_S", "5", 5.0, id="number"),
        pytest.param("WORKER_CLOUDEVENTS", "true", True, id="truth value"),
        pytest.param("WORKER_CLOUDEVENTS", "0", False, id="truth value as a digit"),
        pytest.param("TOPICS_PARTITIONS", "12", 12, id="optional number"),
        pytest.param("MODEL_THRESHOLD", "0.4", 0.4, id="optional fraction"),
        pytest.param("MODEL_TRUSTED_TYPES", "a.B, c.D,", ("a.B", "c.D"), id="list"),
        pytest.param("KAFKA_BOOTSTRAP", "a:1,b:2", "a:1,b:2", id="text with a comma"),
        pytest.param("WORKER_GROUP", "123", "123", id="text of digits"),
    ],
)
def test_a_variable_is_read_as_its_setting_s_type(variable: str, text: str, value: object) -> None:
    settings = load_settings(None, {f"STREAM_SCORER_{variable}": text})
    section, name = variable.lower().split("_", 1)
    assert getattr(getattr(settings, section), name) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[http]\nport = '80'", "http.port: '80': expected `int", id="text for a number"),
        pytest.param("[http]\nport = true", "http.port: True: expected `int", id="truth value for a number"),
        pytest.param("[http]\nport = 65536", "http.port: 65536: expected `int` <= 65535", id="too large"),
        pytest.param("[worker]\nbrake_share = 0.0", "worker.brake_share: 0.0: expected `float` > 0", id="too small"),
        pytest.param(
            "[logging]\nlevel = 'infos'",
            "must be one of debug, error, info, warning; did you mean info?",
            id="not a choice",
        ),
        pytest.param("[topics]\nprefix = 'a/b'", "topics.prefix: 'a/b'", id="prefix that no topic may carry"),
        pytest.param("[worker]\ngroup = '..'", "worker.group: '..'", id="group that would leave the state folder"),
        pytest.param("[kafka]\nbootstrap = 'broker'", "kafka.bootstrap: 'broker' is not `host:port`", id="no port"),
        pytest.param(
            "[kafka]\nbootstrap = 'a:1,b:70000'", "kafka.bootstrap: 'b:70000' is not", id="second address's port"
        ),
        pytest.param(
            "[models]\ncontrasts = ['W-B']",
            "models.contrasts: 'W-B' is not `COLUMN:GROUP-GROUP`, such as SubjectRaceCode:W-B; columns are Subject",
            id="contrast without its column",
        ),
        pytest.param(
            "[models]\ncontrasts = ['SubjectRaceCode:W-X']",
            "models.contrasts: 'SubjectRaceCode:W-X': SubjectRaceCode has no group X, only W, B, A, I",
            id="contrast with a group that is none",
        ),
        pytest.param(
            "[models]\ncontrasts = ['SubjectSexCode:M-M']",
            "'SubjectSexCode:M-M' compares a group with itself",
            id="contrast of one group",
        ),
        pytest.param(
            "[models]\ncontrasts = ['SubjectSexCode:M-F', 'SubjectSexCode:F-M']",
            "'SubjectSexCode:F-M' says the same as 'SubjectSexCode:M-F': a gap is looked at both ways",
            id="contrast twice",
        ),
        pytest.param("[kafak]\nbootstrap = 'a:1'", "[kafak]: no such section (in ", id="unknown section"),
        pytest.param("kafka = 1", "kafka: must be a section", id="section that is none"),
        pytest.param("[kafka]\nbootstrp = 'a:1'", "kafka.bootstrp: no such setting", id="unknown setting"),
        pytest.param(
            "[kafka]\nbootstrp = 'a:1'", "did you mean kafka.bootstrap?", id="unknown setting with its neighbour"
        ),
        pytest.param("[kafka\n", "is not TOML: ", id="broken file"),
    ],
)
def test_a_setting_that_can_t_be_used_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(toml(tmp_path, text))


def test_a_file_that_is_not_there_is_said() -> None:
    assert "there is no settings file /no/such.toml" in refusal(Path("/no/such.toml"))


def test_every_problem_of_every_layer_is_said_at_once(tmp_path: Path) -> None:
    path = toml(tmp_path, "[http]\nport = -1\n[nope]\nx = 1\n[kafka]\nsasl_password = 'hush'\n")
    message = refusal(
        path, {"STREAM_SCORER_LOGGING_FORMAT": "xml", "STREAM_SCORER_WORKER_GRUOP": "g"}, worker__brake_share=2
    )
    for part in (
        "http.port",
        "[nope]",
        "kafka.sasl_password",
        "logging.format",
        "STREAM_SCORER_WORKER_GRUOP",
        "worker.brake_share",
    ):
        assert part in message
    assert len(message.splitlines()) == 1 + 6


def test_contradictions_are_all_said(tmp_path: Path) -> None:
    message = refusal(
        None,
        kafka__security_protocol="SASL_SSL",
        kafka__ssl_certificate_file=str(tmp_path / "no.pem"),
        worker__event_bytes_max=10_000_000,
    )
    for part in (
        "sasl_username: missing",
        "sasl_password: missing",
        "there is no file",
        "mutual TLS needs both",
        "dead_letter_bytes_max: smaller",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param({"kafka.sasl_username": "u"}, "PLAINTEXT uses no user name", id="user without SASL"),
        pytest.param({"kafka.ssl_key_file": "k.pem"}, "PLAINTEXT uses no TLS", id="key without TLS"),
        pytest.param(
            {"http.view_token": "t", "http.act_token": "t"}, "every reader could act", id="one token for both"
        ),
    ],
)
def test_what_would_be_passed_over_is_refused(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(None, {}, overrides)


@pytest.mark.parametrize(
    "variable",
    [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8080_TCP_ADDR",
        "PAGE_SERVICE_HOST",
        "CACHE",
        "SETTINGS",
        "TEST_BROKER",
        "TEST_INSIST",
    ],
)
def test_variables_that_are_no_settings_are_passed_over(variable: str) -> None:
    """Kubernetes sets the first of these in every pod beside a service called stream-scorer."""
    assert load_settings(None, {f"STREAM_SCORER_{variable}": "tcp://10.0.0.1:8080"}) == Settings()


def test_a_secret_in_the_file_is_refused_without_being_repeated(tmp_path: Path) -> None:
    message = refusal(toml(tmp_path, "[kafka]\nsasl_password = 'hush'"))
    assert "set STREAM_SCORER_KAFKA_SASL_PASSWORD or kafka.sasl_password_file" in message
    assert "hush" not in message


def test_secrets_and_certificates_are_not_looked_for_where_nothing_uses_them(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        "[kafka]\nsecurity_protocol = 'SASL_SSL'\nsasl_username = 'me'\nsasl_password_file = '/not/here'\n"
        "ssl_ca_file = '/not/there'\n[business]\nsuccess_rate_min = 0.6",
    )
    assert "/not/here can't be read" in refusal(path)
    assert load_settings(path, {}, for_use=False).business.success_rate_min == 0.6


def test_a_secret_comes_from_a_variable(tmp_path: Path) -> None:
    environ = {"STREAM_SCORER_KAFKA_SASL_PASSWORD": "hush"}
    assert load_settings(toml(tmp_path, SASL), environ).kafka.sasl_password == "hush"


def test_a_secret_comes_from_a_file_without_its_line_end(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(" hush \n", encoding="utf-8")
    settings = load_settings(toml(tmp_path, SASL), {"STREAM_SCORER_KAFKA_SASL_PASSWORD_FILE": str(secret)})
    assert settings.kafka.sasl_password == " hush "


@pytest.mark.parametrize(
    ("content", "message"),
    [pytest.param(None, "can't be read: No such file", id="no file"), pytest.param("\n", "is empty", id="empty file")],
)
def test_a_secret_s_file_that_holds_none_is_said(tmp_path: Path, content: str | None, message: str) -> None:
    secret = tmp_path / "password"
    if content is not None:
        secret.write_text(content, encoding="utf-8")
    assert message in refusal(None, {"STREAM_SCORER_LOGGING_ID_HASH_KEY_FILE": str(secret)})


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    environ = {"STREAM_SCORER_HTTP_ACT_TOKEN": "a", "STREAM_SCORER_HTTP_ACT_TOKEN_FILE": str(tmp_path)}
    assert "set both by itself and by http.act_token_file" in refusal(None, environ)


def test_no_secret_is_shown_masked_or_printed() -> None:
    secrets = [field for field in settings_fields(Settings) if field.secret]
    environ = {field.variable: f"hush-2f9c7be1-{field.name}" for field in secrets} | {
        "STREAM_SCORER_KAFKA_SASL_USERNAME": "user"
    }
    given: dict[str, object] = {
        "kafka.security_protocol": "SASL_PLAINTEXT",
        "oidc.issuer": "https://id.example",
        "oidc.client_id": "us",
    }
    given |= {"oidc.public_url": "https://page.example", "oidc.viewer_groups": ["all"]}
    settings = load_settings(None, environ, given)
    shown = masked(settings)
    assert len(secrets) == 7
    assert "hush" not in f"{shown}{settings!r}"
    assert all(shown[field.section][field.name] == "***" for field in secrets)
    assert shown["kafka"]["sasl_username"] == "user"


def test_a_secret_that_is_not_set_is_not_masked() -> None:
    assert masked(Settings())["kafka"]["sasl_password"] == ""


def test_every_setting_is_described_once_and_every_secret_has_a_file() -> None:
    fields = list(settings_fields(Settings))
    described = [field.description for field in fields]
    assert all(len(text) > 10 for text in described)
    assert {f"{field.key}_file" for field in fields if field.secret} <= {field.key for field in fields}
    assert len({field.variable for field in fields}) == len(fields)


def test_topics_group_transactions_and_state_carry_the_prefix() -> None:
    settings = load_settings(None, {}, {"topics.prefix": "staging.", "worker.state_folder": "/state"})
    assert settings.group_name == "staging.stream-scorer"
    assert settings.transactional_id(3) == "staging.stream-scorer-3"
    assert settings.state_path == Path("/state/staging.stream-scorer")


def test_without_a_state_folder_the_user_s_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    assert default_state_folder() == Path("/home/me/state/stream-scorer")
    assert Settings().state_path == Path("/home/me/state/stream-scorer/stream-scorer")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("scorer", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("name", ["dev", "test", "staging", "production"])
def test_the_settings_files_that_we_ship_can_be_used(tmp_path: Path, name: str) -> None:
    environ = {}
    if name in ("staging", "production"):
        for field in (
            "KAFKA_SASL_PASSWORD_FILE",
            "KAFKA_SSL_CA_FILE",
            "HTTP_VIEW_TOKEN_FILE",
            "HTTP_ACT_TOKEN_FILE",
            "LOGGING_ID_HASH_KEY_FILE",
        ):
            (tmp_path / field).write_text(field, encoding="utf-8")
            environ[f"STREAM_SCORER_{field}"] = str(tmp_path / field)
    settings = load_settings(DEPLOYED / f"{name}.toml", environ)
    assert settings != Settings()
    assert settings.topics.prefix == ("" if name == "dev" else f"{name}.")


def test_a_section_can_be_built_by_hand() -> None:
    assert Settings(kafka=KafkaSettings(bootstrap="a:1")).kafka.bootstrap == "a:1"


SASL = '[kafka]\nsecurity_protocol = "SASL_PLAINTEXT"\nsasl_username = "u"\n'


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "https://worker:8080", "http://worker:8080/status", "http://a@worker", "http://", "http://w:x"],
)
def test_a_workers_address_that_is_none_is_told(url: str) -> None:
    assert f"console.workers: {url!r} is not `http://host:port`" in refusal(console__workers=[url])


def test_workers_are_named_by_a_variable_one_behind_the_other() -> None:
    settings = load_settings(None, {"STREAM_SCORER_CONSOLE_WORKERS": "http://one:8080, http://[::1]:9090/"})
    assert settings.console.workers == ("http://one:8080", "http://[::1]:9090/")
