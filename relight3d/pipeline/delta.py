"""Settings as plain data and back: a few named changes applied to a frozen dataclass."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from relight3d.core.errors import ConfigurationError

T = TypeVar("T")


def apply_delta(config: T, delta: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """A copy of a frozen dataclass with some fields, nested ones too, replaced.

    Raises:
        ConfigurationError: Names the file, the field, and what would be right.
    """
    kinds = typing.get_type_hints(type(config))
    changes = {}
    for key, value in delta.items():
        name = f"{prefix}{key}"
        if key not in kinds:
            raise ConfigurationError(f"{where}: there is no setting '{name}'.{nearest(key, kinds)}")
        current = getattr(config, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigurationError(
                    f"{where}: '{name}' is a group of settings; write its fields below it, "
                    f"got {value!r}."
                )
            changes[key] = apply_delta(current, value, where, f"{name}.")
        else:
            changes[key] = _converted(value, kinds[key], name, where)
    try:
        return dataclasses.replace(config, **changes)  # type: ignore[type-var]
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def settings_of(config: Any) -> dict[str, Any]:
    """All settings as JSON values; `apply_delta` takes them back."""
    return dataclasses.asdict(config)


def nearest(key: str, names: Iterable[str]) -> str:
    """A sentence that offers the most similar name, or all of them."""
    close = difflib.get_close_matches(str(key), list(names), n=1, cutoff=0.4)
    return f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(names)}."


def _converted(value: Any, kind: Any, name: str, where: str) -> Any:
    """The value as the field's type, or an error that says what the field takes."""
    try:
        return _cast(value, kind)
    except TypeError:
        raise ConfigurationError(
            f"{where}: '{name}' takes {_in_words(kind)}, got {value!r}."
        ) from None


def _cast(value: Any, kind: Any) -> Any:
    """The value as `kind`; TypeError if it is none."""
    origin = typing.get_origin(kind)
    if origin in _CASTS:
        return _CASTS[origin](value, typing.get_args(kind))
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is kind:
        return value
    raise TypeError


def _cast_literal(value: Any, allowed: tuple[Any, ...]) -> Any:
    if any(type(value) is type(a) and value == a for a in allowed):
        return value
    raise TypeError


def _cast_union(value: Any, options: tuple[Any, ...]) -> Any:
    for option in options:
        try:
            return _cast(value, option)
        except TypeError:
            continue
    raise TypeError


def _cast_tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise TypeError
    return tuple(_cast(v, kind) for v, kind in zip(value, kinds, strict=True))


_CASTS = {
    typing.Literal: _cast_literal,
    typing.Union: _cast_union,
    types.UnionType: _cast_union,
    tuple: _cast_tuple,
}


def _in_words(kind: Any) -> str:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(a) for a in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each {_in_words(arguments[0])}"
        return f"a list of {len(arguments)}: " + ", ".join(_in_words(a) for a in arguments)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text",
             type(None): "nothing"}  # fmt: skip
    return names.get(kind, getattr(kind, "__name__", str(kind)))
