"""Option groups: options that several commands share, declared once and passed to a command as one object.

Invariant: a command's `--help` lists a group's options where the command's own signature names the group.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def with_options(**groups: Callable[..., Any]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """A decorator that builds the parameter `name` of a command by `groups[name]`.

    The parameters of a group's function, with their typer annotations and defaults, become options of the command, and
    the function's result is passed as `name`. A group may itself be decorated. Groups are built in the order given, so
    the first one's error is the one reported.
    """
    parameters_of = {name: tuple(inspect.signature(group).parameters.values()) for name, group in groups.items()}

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        expanded: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            expanded += parameters_of.get(parameter.name, (parameter,))

        @wraps(command)
        def run(**given: Any) -> T:
            built = {
                name: group(**{each.name: given.pop(each.name) for each in parameters_of[name] if each.name in given})
                for name, group in groups.items()
            }
            return command(**given, **built)

        # typer reads both; a command's own annotations name types that are imported for type checkers only
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in expanded]
        )
        run.__annotations__ = {each.name: each.annotation for each in expanded}
        return run

    return decorate
