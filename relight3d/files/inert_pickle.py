"""Numbers out of a Python pickle, without unpickling: nothing the file says is called or imported.

The opcodes are listed by `pickletools`, which only parses. A small stack machine follows those that
build tuples, lists, numbers, texts and numpy arrays; five names of numpy and `_codecs` count as
inert tokens, whose meaning is written down here. Every other opcode or name is refused.
"""

import io
import pickletools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from relight3d.core.errors import FileFormatError
from relight3d.files.reading import file_size, read_whole

MAX_BYTES = 1 << 16
MAX_OPCODES = 4_000
MAX_VALUES = 20_000
"""A short file can name one value exponentially often."""
_WHAT = "The pickle"
_MARK, _UNSET = object(), object()
_DTYPE = re.compile(r"[fiu][248]|[iu]1|b1|U[1-9][0-9]{0,3}")
_NAMES = {
    f"{module} {name}": name
    for modules, name in (
        (("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct"),
        (("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
        (("numpy",), "ndarray"),
        (("numpy",), "dtype"),
        (("_codecs",), "encode"),
    )
    for module in modules
}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT", "SHORT_BINBYTES",
    "BINBYTES", "BINBYTES8", "BYTEARRAY8", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "UNICODE",
}  # fmt: skip
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Token(str):
    """One of the names in `_NAMES`."""


class _Dtype:
    """numpy's dtype while it is being described."""

    def __init__(self, code: str):
        self.code, self.order = code, "<"


class _Array:
    """numpy's array while it is being described."""

    def __init__(self) -> None:
        self.value: Any = _UNSET


def read_inert_pickle(path: Path) -> Any:
    """What a pickle holds, if that is tuples, lists, numbers, texts and arrays of numbers or texts.

    Raises:
        FileFormatError: Missing, too large, cut off, or it asks for anything else.
    """
    if file_size(path, _WHAT) > MAX_BYTES:
        raise FileFormatError(f"{_WHAT} {path} is larger than {MAX_BYTES:,} bytes. Not read.")
    try:
        return _finished(_run(read_whole(path, _WHAT)), [MAX_VALUES])
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
            UnicodeError, RecursionError, MemoryError) as error:  # fmt: skip
        raise FileFormatError(
            f"{_WHAT} {path} is refused: {str(error)[:120]}. Only tuples, lists, numbers, texts "
            "and numpy arrays of them are read, and nothing is ever run; is it the right file?"
        ) from error


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
        name = opcode.name
        if count > MAX_OPCODES:
            raise ValueError("too many opcodes")
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            continue
        elif name == "STOP":
            if len(stack) != 1:
                raise ValueError("it ends with more or less than one value")
            return stack[0]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]  # pyright: ignore[reportArgumentType]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])  # pyright: ignore[reportArgumentType]
        else:
            _step(name, argument, stack)
    raise ValueError("it is cut off")


def _step(name: str, argument: Any, stack: list[Any]) -> None:
    """One opcode that takes from the stack, or builds on it."""
    if name in _BUILDERS:
        stack.append(_BUILDERS[name](stack))
    elif name in ("APPEND", "APPENDS"):
        values = [stack.pop()] if name == "APPEND" else _since_mark(stack)
        if not isinstance(stack[-1], list):
            raise ValueError("something is appended to what is no list")
        stack[-1].extend(values)
    elif name == "GLOBAL":
        stack.append(_token(str(argument)))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_token(f"{module} {attribute}"))
    elif name == "REDUCE":
        arguments, token = stack.pop(), stack.pop()
        stack.append(_described(token, arguments))
    elif name == "BUILD":
        state = stack.pop()
        _build(stack[-1], state)
    else:
        raise ValueError(f"it uses the opcode {name}")


def _last(count: int, stack: list[Any]) -> tuple:
    values = tuple(stack[len(stack) - count :])
    if len(stack) < count or any(value is _MARK for value in values):
        raise ValueError("a tuple lacks values")
    del stack[len(stack) - count :]
    return values


def _since_mark(stack: list[Any]) -> list[Any]:
    start = max(index for index, value in enumerate(stack) if value is _MARK)
    values = stack[start + 1 :]
    del stack[start:]
    return values


_BUILDERS: dict[str, Callable[[list[Any]], Any]] = {
    "MARK": lambda stack: _MARK,
    "EMPTY_TUPLE": lambda stack: (),
    "EMPTY_LIST": lambda stack: [],
    "TUPLE1": lambda stack: _last(1, stack),
    "TUPLE2": lambda stack: _last(2, stack),
    "TUPLE3": lambda stack: _last(3, stack),
    "TUPLE": lambda stack: tuple(_since_mark(stack)),
    "LIST": _since_mark,
}


def _token(name: str) -> _Token:
    if name not in _NAMES:
        raise ValueError(f"it asks for {name!r}")
    return _Token(_NAMES[name])


def _described(token: object, arguments: object) -> Any:
    """What a call of one of the known names would give, worked out here."""
    if not isinstance(token, _Token) or not isinstance(arguments, tuple):
        raise ValueError("it calls something that has no name here")
    if token == "encode":  # bytes, as Python 2 could read them
        text, encoding = arguments
        if encoding != "latin1":
            raise ValueError(f"it asks for the encoding {encoding!r}")
        return str(text).encode("latin1")
    if token == "dtype":
        if not isinstance(arguments[0], str) or not _DTYPE.fullmatch(arguments[0]):
            raise ValueError(f"it holds an array of {arguments[0]!r}")
        return _Dtype(arguments[0])
    if token == "_reconstruct":
        return _Array()
    if token == "_frombuffer":
        buffer, dtype, shape, order = arguments
        array = _Array()
        array.value = _decoded(buffer, dtype, shape, order == "F")
        return array
    raise ValueError(f"it calls {token!r}")


def _build(target: object, state: object) -> None:
    if not isinstance(state, tuple):
        raise ValueError("a state is no tuple")
    if isinstance(target, _Dtype):
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"it has the byte order {order!r}")
        target.order = "<" if order == "=" else order
    elif isinstance(target, _Array):
        _, shape, dtype, fortran, buffer = state
        target.value = _decoded(buffer, dtype, shape, fortran is True)
    else:
        raise ValueError("it sets the state of something that has none")


def _decoded(buffer: object, dtype: object, shape: object, fortran: bool) -> np.ndarray:
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise ValueError("an array is not given as bytes of a known kind")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("an array has no shape")
    order = dtype.order.replace("|", "")
    values = np.frombuffer(bytes(buffer), np.dtype(order + dtype.code))
    if dtype.code[0] == "U" and (np.frombuffer(bytes(buffer), order + "u4") > sys.maxunicode).any():
        raise ValueError("a text has impossible characters")
    return values.reshape(shape, order="F" if fortran else "C").copy()


def _finished(value: Any, left: list[int]) -> Any:
    """The value with arrays in place of their descriptions; `left` counts down."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("it holds too many values")
    if isinstance(value, _Array):
        if value.value is _UNSET:
            raise ValueError("an array has no content")
        return value.value
    if isinstance(value, tuple | list):
        return type(value)(_finished(item, left) for item in value)
    if isinstance(value, _Token | _Dtype) or value is _MARK:
        raise ValueError("it holds a name instead of a value")
    return value
