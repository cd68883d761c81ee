"""Ctrl-C and SIGTERM as a request that a loop answers between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; everything done so far is saved. Its text says how to go on."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT):
        """Take what to tell the user, and what asked."""
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopRequest:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        """Nobody asked yet."""
        self.signal_number: int | None = None

    def _receive(self, number: int, frame: object) -> None:
        if self.signal_number is not None:  # asked twice: do not wait for the step
            raise KeyboardInterrupt
        self.signal_number = number


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Collect SIGINT and SIGTERM while the body runs; a second one stops at once."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may install handlers
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, request._receive) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
