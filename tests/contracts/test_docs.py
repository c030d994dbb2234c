"""What the texts name is there: commands with their options, files, links, settings, metrics; and samples hold."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from jsonschema import Draft202012Validator

import stream_scorer
from stream_scorer.commands.main import app
from stream_scorer.commands.options import SETTINGS_VARIABLE
from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.records.schemas import schemas
from stream_scorer.models.stops_csv.column_mapping import load_mapping
from stream_scorer.runtime.metrics.catalogue import CATALOGUE
from stream_scorer.runtime.metrics.console_catalogue import CONSOLE_CATALOGUE
from stream_scorer.runtime.metrics.evidence_catalogue import EVIDENCE_CATALOGUE
from stream_scorer.runtime.metrics.gateway_catalogue import GATEWAY_CATALOGUE
from stream_scorer.runtime.settings.fields import settings_fields
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.contracts.markdown_pages import PAGES, ROOT, Piece, anchors, blocks, links, shell_lines, spans, text_of
from tests.integration import broker_sources

# Typer's own classes are its copy of Click's and have no types to speak of
COMMANDS: Any = typer.main.get_command(app)
OTHER_PROGRAMS = {"export", "kill", "curl", "python3", ".venv/bin/pip", ".venv/bin/python"}
OTHER_VARIABLES = {
    "STREAM_SCORER_LOOKUP_TOKEN",
    "STREAM_SCORER_CACHE",
    SETTINGS_VARIABLE,
    broker_sources.ADDRESS,
    broker_sources.SOURCE,
    broker_sources.IMAGE,
    "STREAM_SCORER_TEST_KILLS",
}
HISTOGRAM_ENDS = ("_bucket", "_sum", "_count")
TOP_FOLDERS = ("stream_scorer/", "tests/", "topics/", "deploy/", "docs/", ".ci/")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FIELDS = list(settings_fields(Settings))
SECTIONS = sorted({field.section for field in FIELDS})


def cases(pieces: Iterator[Piece]) -> Any:
    """Each piece once, as cases of a test."""
    return [pytest.param(piece, id=f"{piece.page}: {piece.text[:60]}") for piece in dict.fromkeys(pieces)]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words name, and what is left of them."""
    command = COMMANDS
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts} | {"--help"}


def all_options(command: Any = COMMANDS) -> set[str]:
    return options_of(command).union(*map(all_options, getattr(command, "commands", {}).values()))


def parse(arguments: list[str]) -> None:
    """Parse a whole command line as the console script would; fails on what it refuses."""
    command, rest = find_command(arguments)
    assert command is not COMMANDS or rest[:1] in (["--help"], ["--version"]), f"no such command: {arguments}"
    if rest[-1:] != ["--help"]:
        command.make_context("stream-scorer", rest)


# Commands


@pytest.mark.parametrize("line", cases(shell_lines()))
def test_what_people_are_told_to_type_can_be_typed(line: Piece) -> None:
    words = shlex.split(line.text.removesuffix("&"), comments=True)
    while "=" in words[0]:  # a variable for this one command
        words = words[1:]
    words = words[: words.index("<")] if "<" in words else words
    if words[0] == "stream-scorer":
        parse(words[1:])
    elif words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= TARGETS
        arguments = [word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")]
        if words[1:2] == ["demo"] and arguments:
            parse(["demo", *shlex.split(arguments[0])])
    else:
        assert words[0] in OTHER_PROGRAMS


@pytest.mark.parametrize("span", cases(span for span in spans() if span.text.startswith("stream-scorer ")))
def test_a_command_that_is_mentioned_exists_with_its_options(span: Piece) -> None:
    command, rest = find_command(span.text.split()[1:])
    assert command is not COMMANDS or rest[0].startswith("--"), "no such command"
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= options_of(command)
    assert not getattr(command, "commands", None) or all(word.startswith("--") for word in rest), "no such subcommand"


@pytest.mark.parametrize("span", cases(span for span in spans() if re.match(r"--[a-z]", span.text)))
def test_an_option_that_is_mentioned_exists(span: Piece) -> None:
    assert span.text.split()[0] in all_options()


@pytest.mark.parametrize("span", cases(span for span in spans() if re.match(r"make [a-z]", span.text)))
def test_a_target_that_is_mentioned_exists(span: Piece) -> None:
    assert span.text.split()[1] in TARGETS


def test_the_console_script_is_called_as_the_texts_call_it() -> None:
    assert COMMANDS.name == "stream-scorer"
    assert 'stream-scorer = "stream_scorer.commands.main:run"' in (ROOT / "pyproject.toml").read_text()


# Files and links


@pytest.mark.parametrize("link", cases(links()))
def test_a_link_leads_somewhere(link: Piece) -> None:
    target, _, anchor = link.text.partition("#")
    page = ROOT / link.page
    path = (page.parent / target).resolve() if target else page
    assert path.exists()
    assert not anchor or anchor in anchors(path)


@pytest.mark.parametrize("span", cases(span for span in spans() if span.text.startswith(TOP_FOLDERS)))
def test_a_file_that_is_named_exists(span: Piece) -> None:
    assert (ROOT / span.text).exists()


@pytest.mark.parametrize("span", cases(span for span in spans() if re.fullmatch(r"\w+\.(py|lock)", span.text)))
def test_a_module_that_is_named_exists(span: Piece) -> None:
    assert any(next((ROOT / folder).rglob(span.text), None) for folder in ("stream_scorer", "tests"))


@pytest.mark.parametrize("span", cases(span for span in spans() if re.fullmatch(r"test_\w+", span.text)))
def test_a_test_that_is_named_exists(span: Piece) -> None:
    assert any(f"def {span.text}(" in path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached = {"README.md"}
    while (
        more := {
            str((ROOT / link.page).parent.joinpath(link.text.partition("#")[0]).resolve().relative_to(ROOT))
            for link in links()
            if link.page in reached and link.text.partition("#")[0]
        }
        - reached
    ):
        reached |= more
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= reached


def test_the_changelog_begins_with_this_version() -> None:
    assert re.findall(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == stream_scorer.__version__


# Settings and metrics


@pytest.mark.parametrize(
    "span", cases(span for span in spans() if re.match(rf"({'|'.join(SECTIONS)})\.(?!toml|py)[a-z]", span.text))
)
def test_a_setting_that_is_named_exists(span: Piece) -> None:
    assert span.text.split()[0] in {field.key for field in FIELDS}


def test_every_variable_that_is_named_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"STREAM_SCORER_[A-Z_]+", text_of(page))}
    assert named
    assert named <= {field.variable for field in FIELDS} | OTHER_VARIABLES


def test_every_metric_that_is_named_exists() -> None:
    known = {one.name for one in (*CATALOGUE, *EVIDENCE_CATALOGUE, *CONSOLE_CATALOGUE, *GATEWAY_CATALOGUE)}
    known |= {f"{one.name}{end}" for one in CATALOGUE if one.kind == "histogram" for end in HISTOGRAM_ENDS}
    named = {name for page in PAGES for name in re.findall(r"\bstream_scorer_[a-z_]+", text_of(page))}
    assert named
    assert named <= known


# Samples


@pytest.mark.parametrize("block", cases(blocks("toml")))
def test_a_sample_of_settings_or_of_columns_can_be_used(block: Piece, tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(block.text)
    if "[columns]" in block.text:
        load_mapping(path)
    else:
        load_settings(path, {})


@pytest.mark.parametrize("block", cases(blocks("json")))
def test_a_record_in_a_sample_is_one(block: Piece) -> None:
    said = json.loads(block.text)
    if "status" in said:
        Draft202012Validator(schemas()["outcome_updates"]).validate(said)
    elif "proba" in said:
        Draft202012Validator(schemas()["predictions"]).validate(said)
    else:
        examine = validate_outcome if "true_class" in said else validate_observation
        assert isinstance(examine(block.text.encode()), ValidEvent)


@pytest.mark.parametrize("block", cases(blocks("python")))
def test_a_python_sample_runs(block: Piece) -> None:
    tree = ast.parse(block.text)
    if block.page == "docs/model.md":  # it needs a model that somebody has fitted: what it imports must be there
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(tree, block.page, "exec"), {})
