"""Typed fields out of untrusted JSON: the right kind and range, or a message naming the field."""

import math
import re
from collections.abc import Mapping
from typing import overload

from relight3d.core.errors import CaptureError

_REQUIRED = object()
_PLAIN_NAME = re.compile(r'(?![. ])[^/\\:*?"<>|\x00-\x1f]{1,100}')


@overload
def number(
    record: Mapping,
    key: str,
    where: str,
    default: None,
    low: int | float = ...,
    high: int | float = ...,
) -> float | None: ...
@overload
def number(
    record: Mapping,
    key: str,
    where: str,
    default: float = ...,
    low: int | float = ...,
    high: int | float = ...,
) -> float: ...
def number(
    record: Mapping,
    key: str,
    where: str,
    default: object = _REQUIRED,
    low: int | float = -math.inf,
    high: int | float = math.inf,
) -> object:
    """A finite number in [low, high]; `default` if the key is absent.

    Raises:
        CaptureError: Absent without a default, not a number, NaN, infinite or out of range.
    """
    value = record.get(key)
    if value is None:
        if default is _REQUIRED:
            raise CaptureError(f"{where}: the field '{key}' is missing. Restore the file.")
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CaptureError(f"{where}: '{key}' is {str(value)[:60]!r}, a number is needed.")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or not low <= result <= high:
        raise CaptureError(
            f"{where}: '{key}' is {result}, outside of {low:g} to {high:g}. Mend the file."
        )
    return result


def whole_number(record: Mapping, key: str, where: str, default: int) -> int:
    """A size in pixels, 1 to 2^20; 1080.0 counts as whole."""
    value = number(record, key, where, default=float(default), low=1, high=1 << 20)
    if value != round(value):
        raise CaptureError(f"{where}: '{key}' is {value}, a whole number is needed.")
    return round(value)


def text(record: Mapping, key: str, where: str, default: str | None = None) -> str | None:
    """A string, or `default` if absent."""
    value = record.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise CaptureError(f"{where}: '{key}' is {str(value)[:60]!r}, a text is needed.")
    if any("\ud800" <= letter <= "\udfff" for letter in value):  # half of a character
        raise CaptureError(
            f"{where}: '{key}' is {value[:60]!r}, which is no Unicode. Mend the file."
        )
    return value


def plain_name(value: str, where: str) -> str:
    """A name that files are called after, with no way out of their folder.

    Raises:
        CaptureError: Empty, longer than 100 characters, hidden, or with slashes or control
            characters.
    """
    if not _PLAIN_NAME.fullmatch(value):
        raise CaptureError(
            f"{where}: the light {value[:60]!r} cannot be the name of a file. Name it with 1 to "
            '100 characters, not beginning with a dot, none of them / \\ : * ? " < > |.'
        )
    return value


def records(record: Mapping, key: str, where: str) -> list[Mapping]:
    """A list of objects."""
    value = record.get(key)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise CaptureError(f"{where}: '{key}' is not a list of objects. Is it the right file?")
    return value


def texts(record: Mapping, key: str, where: str) -> list[str]:
    """A list of strings; empty if absent."""
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise CaptureError(f"{where}: '{key}' is not a list of texts. Mend the file.")
    return value


def table(record: Mapping, key: str, where: str) -> Mapping:
    """An object; empty if absent."""
    value = record.get(key, {})
    if not isinstance(value, Mapping):
        raise CaptureError(f"{where}: '{key}' is not an object {{...}}. Mend the file.")
    return value


def vector(record: Mapping, key: str, where: str) -> tuple[float, float, float]:
    """Three finite numbers; a single one counts for all three."""
    value = record.get(key)
    items = [value] * 3 if isinstance(value, int | float) else value
    if not isinstance(items, list) or len(items) != 3:
        raise CaptureError(f"{where}: '{key}' is {str(value)[:60]!r}, three numbers are needed.")
    x, y, z = (number({key: item}, key, where) for item in items)
    return x, y, z
