import io

from relight3d.core import progress
from relight3d.core.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_durations():
    assert [duration(s) for s in (0, 9.4, 187, 3765)] == ["0s", "9s", "3:07", "1:02:45"]


def test_terminal_line_is_redrawn_and_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    clock = iter(float(t) for t in range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = Terminal()
    bar = Progress("fit", 10, 0, stream)
    bar.update(5, {"loss": 0.25, "other": 1.0, "third": 2.0})
    bar.close(10, {"loss": 0.125})
    first, second = stream.getvalue().split("\r\x1b[2K")[1:]
    assert first.startswith("fit [============            ] 5/10  1s, 1s left")
    assert len(first) <= 59
    assert second.endswith("10/10  2s  loss 0.125\n")


def test_log_file_gets_few_plain_lines(monkeypatch):
    clock = iter(float(t) for t in range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    bar = Progress("fit", 30, 10, stream)
    for step in range(11, 31):
        bar.update(step, {})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0] == "fit 20/30  10s, 10s left"
