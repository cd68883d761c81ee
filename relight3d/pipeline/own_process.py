"""Work in a process of its own: its memory is its own, and it stops when its parent does.

A training that runs after others in one process would count what those have left behind as its own
memory. The child saves and ends when its parent is asked to stop, or dies.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from relight3d.core.errors import Relight3dError
from relight3d.pipeline.signals import Interrupted, StopRequest, stop_request

_LOOK_S = 0.2


def in_own_process(what: str, target: Callable[..., object], *arguments: Any) -> None:
    """Call a function of a module in a fresh process and wait for it; what it returns is dropped.

    Args:
        what: For messages.
        target: Importable, as are the types of its arguments.
        arguments: Its arguments.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived here, or the child was stopped.
        Relight3dError: The child's own; or the child was ended by a signal.
        ChildProcessError: A mistake of ours; the child has printed its traceback.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(there, target, arguments), daemon=True)
    with stop_request() as stop:
        child.start()
        there.close()
        try:
            told = _wait(child, here, stop)
        finally:
            if child.is_alive():
                child.kill()
            child.join()
    if stop.signal_number is not None or isinstance(told, Interrupted):
        raise Interrupted(str(told or f"Stopped: {what}."), stop.signal_number or signal.SIGINT)
    if told is not None:
        raise told
    if (code := child.exitcode or 0) < 0:
        raise Relight3dError(
            f"{what} was ended by signal {-code} (9: usually because memory ran out). What was "
            "saved is kept: repeat the command to go on."
        )
    if code:
        raise ChildProcessError(f"{what} failed with exit code {code}; see the traceback above.")


def _wait(child: BaseProcess, pipe: Connection, stop: StopRequest) -> BaseException | None:
    """Until the child has ended; pass a request to stop on to it, once."""
    passed_on, told = False, None
    while child.is_alive():
        if stop.signal_number is not None and not passed_on and child.pid is not None:
            os.kill(child.pid, stop.signal_number)
            passed_on = True
        if told is None and pipe.poll():
            told = _received(pipe)
        child.join(_LOOK_S)
    if told is None and pipe.poll():
        told = _received(pipe)
    return told


def _received(pipe: Connection) -> BaseException | None:
    try:
        return pipe.recv()
    except EOFError:  # the child said nothing
        return None


def _serve(pipe: Connection, target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """In the child: do it, and tell the parent what went wrong."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the parent alone, which passes it on
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        target(*arguments)
    except KeyboardInterrupt as stopped:
        pipe.send(Interrupted(str(stopped) or "Interrupted."))
    except Relight3dError as error:
        pipe.send(error)


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
