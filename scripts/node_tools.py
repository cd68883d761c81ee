"""Programs of Node.js that judge our files: found, installed in a cache, or missed with advice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = {"gltf-validator": "2.0.0-dev.3.10", "three": "0.187.0"}
"""Of npm packages; the ones that the tables in benchmarks/ were made with."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "relight3d" / "node"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class MissingToolError(Exception):
    """A program is not installed; the message says how to get it."""


def program(*names: str, advice: str) -> str:
    """Path of the first of these programs that there is.

    Raises:
        MissingToolError: None of them is there.
    """
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise MissingToolError(f"This needs {' or '.join(names)}, which is not installed. {advice}")


def node() -> str:
    """Path of Node.js.

    Raises:
        MissingToolError: Not installed.
    """
    return program("node", advice="On Debian and Ubuntu: apt install nodejs npm")


def browser() -> str:
    """Path of Chromium or Chrome.

    Raises:
        MissingToolError: Neither is installed.
    """
    return program(*BROWSERS, advice="On Debian and Ubuntu: apt install chromium")


def npm_package(name: str) -> Path:
    """Folder of an npm package in the tested version; installed on first use.

    Raises:
        MissingToolError: npm is absent, or could not install it.
    """
    version = VERSIONS[name]
    home = CACHE / f"{name}-{version}"
    folder = home / "node_modules" / name
    if not (folder / "package.json").is_file():
        npm = program("npm", advice="On Debian and Ubuntu: apt install npm")
        home.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(home), "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, f"{name}@{version}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MissingToolError(
                f"npm could not install {name} {version} into {home}: {done.stderr.strip()}\n"
                "Check the network; what is in that folder can be removed."
            )
    return folder


def stop(error: Exception) -> None:
    """End the program with one message, as the command line does."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
