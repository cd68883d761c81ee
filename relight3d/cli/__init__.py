"""The command line: picks the command, and turns what goes wrong into one message.

Each command's module parses its own arguments; only the one asked for is imported, so that
`relight3d --help` needs neither torch nor tyro.
"""

import difflib
import errno
import os
import sys
from collections.abc import Callable
from importlib import import_module

# Idle OpenMP threads must sleep: on a busy machine spinning ones cost ten times the work itself.
# Read once by the OpenMP runtime when torch is loaded, hence before anything else.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from relight3d import __version__
from relight3d.core.errors import Relight3dError

COMMANDS: dict[str, tuple[str, str]] = {
    "import": (
        "importing",
        "photos, video, COLMAP, nerfstudio, TensoIR, NRHints -> capture folder",
    ),
    "train": ("training", "capture -> relightable asset, report and scores: everything in one go"),
    "fit": ("training", "only the first stage of train: splats with baked light"),
    "decompose": ("decomposing", "only the second stage, in a folder where the first is done"),
    "render": ("rendering", "asset -> pictures under its own or any other light"),
    "export": ("exporting", "asset -> .ply for every splat viewer, and the recovered light"),
    "eval": ("evaluating", "scores of a run, or of any frames, as the papers of the field score"),
    "bench": ("benching", "a suite of captures trained, scored and tabulated, beside earlier runs"),
    "info": ("information", "versions, rasterizers, and what is missing on this machine"),
}
"""Command -> module of this package that has `run_NAME(arguments)`, and what it does."""

SUCCESS, FAILURE, BAD_INPUT = 0, 1, 2
_MENDABLE = {
    errno.ENOSPC: "the disk is full. Free some space and try again.",
    errno.EDQUOT: "the disk quota is used up. Free some space and try again.",
    errno.EFBIG: "the file became larger than this system allows. Choose another place.",
    errno.EACCES: "permission denied. Change its permissions, or work with a copy.",
    errno.EPERM: "permission denied. Change its permissions, or work with a copy.",
    errno.EROFS: "the disk is read-only. Choose another place.",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one.",
    errno.ELOOP: "its links lead in a circle. Mend them.",
    errno.EIO: "the disk reports an error. Check the disk.",
}
"""What the system refuses and the user can mend, where no room has a better message."""


def main() -> None:
    """Entry point of the program."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code.

    0 done, 2 something the user can mend (one message on stderr), 130 interrupted. Anything else
    that goes wrong is a mistake of ours and leaves as an exception with its traceback.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return SUCCESS
    if arguments[0] == "--version":
        print(f"relight3d {__version__}")
        return SUCCESS
    name = arguments[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return _complain(f"There is no command '{name}'.{hint} `relight3d --help` lists them.")
    return _run_command(name, arguments[1:])


def _run_command(name: str, arguments: list[str]) -> int:
    try:
        _command(name)(arguments)
    except Relight3dError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as error:
        print(f"\n{error or 'Interrupted.'}", file=sys.stderr)
        return getattr(error, "exit_code", 130)
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        return _complain(f"{error.filename or 'A file'}: {_MENDABLE[error.errno]}")
    return SUCCESS


def overview() -> str:
    """What `relight3d --help` prints."""
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "relight3d: photos in, a relightable 3D asset out.",
            "",
            "usage: relight3d COMMAND ...",
            "",
            *lines,
            "",
            "The usual way:",
            "  relight3d import PHOTOS CAPTURE",
            "  relight3d train CAPTURE --preset cpu-fast --out RUN",
            "  relight3d render RUN --views turntable --env LIGHT.hdr --out PICTURES",
            "",
            "`relight3d COMMAND --help` lists every option of a command.",
        ]
    )


def _command(name: str) -> Callable[[list[str]], None]:
    return getattr(import_module(f"relight3d.cli.{COMMANDS[name][0]}"), f"run_{name}")


def _complain(message: str) -> int:
    print(f"relight3d: {message}", file=sys.stderr)
    return BAD_INPUT
