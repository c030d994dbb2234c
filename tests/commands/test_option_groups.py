"""A group of options is declared once and reaches each command as one object."""

import inspect
from typing import Annotated, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from stream_scorer.commands.option_groups import with_options


class Span(NamedTuple):
    begin: int
    end: int


def span(begin: Annotated[int, typer.Option("--from")] = 0, end: Annotated[int, typer.Option("--to")] = 9) -> Span:
    return Span(begin, end)


@with_options(found=span)
def labelled(found: Span, label: Annotated[str, typer.Option()] = "none") -> tuple[Span, str]:
    return found, label


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        pytest.param([], "Span(begin=0, end=9) x\n", id="defaults"),
        pytest.param(["--to", "4", "--name", "y"], "Span(begin=0, end=4) y\n", id="options of both"),
    ],
)
def test_a_command_gets_one_object_for_its_group(arguments: list[str], printed: str) -> None:
    app = typer.Typer()

    @app.command()
    @with_options(where=span)
    def show(where: Span, name: Annotated[str, typer.Option()] = "x") -> None:
        typer.echo(f"{where} {name}")

    assert CliRunner().invoke(app, arguments).output == printed


def test_a_group_may_build_on_another() -> None:
    @with_options(both=labelled)
    def show(*, first: int, both: tuple[Span, str], last: int) -> tuple[tuple[Span, str], int]:
        return both, first + last

    assert list(inspect.signature(show).parameters) == ["first", "begin", "end", "label", "last"]
    assert show(first=1, last=2, end=5, label="a") == ((Span(0, 5), "a"), 3)


def test_two_options_of_one_name_are_refused_when_the_command_is_defined() -> None:
    with pytest.raises(ValueError, match="begin"):

        @with_options(where=span)
        def show(where: Span, begin: int) -> None: ...
