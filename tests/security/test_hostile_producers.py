"""What somebody who may only send records, or only name things, can't do beyond that.

Whole hostile records go through a real worker in tests/integration/test_worker_hostile_records.py.
"""

import json
import logging
from pathlib import Path

import pytest

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.settings.settings import load_settings
from stream_scorer.runtime.state.state_directory import claim_lane
from stream_scorer.runtime.worker.log_format import JsonLines, TextLines

NAMES = {
    "a step up": "..",
    "a path upwards": "../elsewhere",
    "a path upwards and down": "a/../../elsewhere",
    "an absolute path": "/etc",
    "a folder in it": "a/b",
    "a hidden name": ".hidden",
    "a byte that ends names": "a\0b",
    "a line end behind it": "production\n",
    "another system's separator": "a\\b",
    "a blank": "a b",
}


@pytest.mark.parametrize("setting", ["topics.prefix", "worker.group"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_prefix_and_no_group_leads_out_of_the_state_folder(setting: str, name: str) -> None:
    with pytest.raises(SettingsError, match=setting):
        load_settings(None, {}, {setting: name})


def test_a_name_full_of_dots_stays_a_name(tmp_path: Path) -> None:
    given = {"topics.prefix": "a..", "worker.group": "b..c", "worker.state_folder": str(tmp_path)}
    state_path = load_settings(None, {}, given).state_path
    assert state_path.resolve().parent == tmp_path.resolve()
    claim = claim_lane(state_path, 0, spare=False)
    assert claim is not None
    assert claim.folder.resolve().is_relative_to(tmp_path.resolve())
    claim.release()


# What could look like a line of ours, overwrite one, or steer the terminal of whoever reads it
FORGERIES = {
    "a line end": "x\n2026-11-22T08:00:00.000Z ERROR worker: forged",
    "a carriage return": "x\r2026-11-22T08:00:00.000Z ERROR worker: forged",
    "a form feed": "x\x0cforged",
    "a line separator": "x\u2028forged",
    "a next line": "x\x85forged",
    "a terminal's escape": "x\x1b[2K\x1b[1Aforged",
    "a reversal of direction": "x\u202eforged",
    "a lone surrogate": "x\ud800forged",
}


@pytest.mark.parametrize("said", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("form", [TextLines(), JsonLines()], ids=["text", "json"])
def test_one_event_is_one_line_of_the_log_whatever_it_quotes(form: logging.Formatter, said: str) -> None:
    record = logging.LogRecord("stream_scorer.lanes", logging.WARNING, "", 0, "quoted: %s", (said,), None)
    line = form.format(record)
    assert line.isprintable()
    assert "forged" in line
    if isinstance(form, JsonLines):
        assert json.loads(line)["level"] == "warning"
