"""Arguments to a dataclass, the same way for every command."""

import dataclasses
import shlex
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def parse(command: str, kind: type[T], arguments: list[str], defaults: dict[str, Any]) -> T:
    """Parse with tyro; wrong arguments end the program with code 2 and a boxed message.

    Args:
        command: Name of the command, for the usage line.
        kind: A dataclass whose docstrings are the help.
        arguments: What follows the command's name.
        defaults: Values of fields that depend on something read before, such as a preset.
    """
    # Made without its constructor, which would judge values that are still to come.
    start = object.__new__(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value: Any = tyro.MISSING
        if field.name in defaults:
            value = defaults[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        object.__setattr__(start, field.name, value)
    return tyro.cli(kind, prog=f"relight3d {command}", args=arguments, default=start)


def early_value(arguments: list[str], option: str) -> str | None:
    """The value of `--option VALUE` or `--option=VALUE`, before the real parsing; the last wins."""
    found = None
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            found = arguments[position + 1]
        elif argument.startswith(f"{option}="):
            found = argument.split("=", 1)[1]
    return found


def first_positional(arguments: list[str]) -> str | None:
    """The first argument, if it is not an option."""
    return arguments[0] if arguments and not arguments[0].startswith("-") else None


def resume_command(command: str, arguments: list[str]) -> str:
    """The same command, to go on with where it was stopped."""
    kept = [a for a in arguments if a not in ("--overwrite", "--resume")]
    return shlex.join(["relight3d", command, *kept, "--resume"])
