"""`stream-scorer monitoring describe`: thresholds and addresses of one's own."""

from pathlib import Path

from typer.testing import CliRunner

from stream_scorer.commands.main import app


def test_thresholds_of_the_settings_and_the_runbook_s_address_stand_in_what_is_written(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[business]\nsuccess_rate_min = 0.61\n", encoding="utf-8")
    address = "http://runbooks.example/scorer"
    arguments = ["monitoring", "describe", "--settings", str(settings), "--out", str(tmp_path), "--runbook", address]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    rules = (tmp_path / "prometheus" / "alert-rules.yml").read_text(encoding="utf-8")
    assert "stream_scorer:success_rate:anytime_high < 0.61" in rules
    assert f'runbook_url: "{address}#streamscorernoworker"' in rules
    assert f'"text": "{address}"' in (tmp_path / "grafana" / "dashboards" / "models.json").read_text(encoding="utf-8")


def test_settings_that_can_t_be_used_write_nothing(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[business]\nsuccess_rate_min = 7\n", encoding="utf-8")
    ended = CliRunner().invoke(
        app, ["monitoring", "describe", "--settings", str(settings), "--out", str(tmp_path / "out")]
    )
    assert ended.exit_code != 0
    assert not (tmp_path / "out").exists()
