"""README and CONTRIBUTING name only commands, targets, options and files that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "configs/README.md")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands(text: str) -> dict[str, set[str]]:
    """Subcommand -> options written beside it, in code blocks and tables."""
    found: dict[str, set[str]] = {}
    for line in (line for line in text.splitlines() if line.startswith(("    ", "|"))):
        for call in re.split(r"(?=relight3d [a-z])", line)[1:]:
            name = call.split()[1].strip("`|/.,;")
            shown = re.split(r"\s#\s", call)[0]
            found.setdefault(name, set()).update(re.findall(r"--[a-z][a-z0-9.-]+", shown))
    return found


def missing_files(text: str) -> list[str]:
    """Backquoted paths of repository files that are not there."""
    paths = re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|yaml|yml|toml|txt))`", text)
    homes = (ROOT, ROOT / "relight3d", ROOT / "data")
    return [p for p in paths if not any((home / p).exists() for home in homes)]


def help_of(command: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.argv = ['relight3d', {command!r}, '--help']; " + (
        "from relight3d.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", sorted(commands(text_of("README.md"))))
def test_commands_and_options_exist(command: str) -> None:
    result = help_of(command)
    assert result.returncode == 0, result.stderr
    unknown = {o for o in commands(text_of("README.md"))[command] if o not in result.stdout}
    assert not unknown, result.stdout


def test_an_unknown_command_is_noticed() -> None:
    text = "| `relight3d fly RUN --wings 2` / `relight3d train --out` | x |\n"
    assert commands(text) == {"fly": {"--wings"}, "train": {"--out"}}
    assert help_of("fly").returncode != 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), flags=re.MULTILINE))
    assert (
        set(re.findall(r"(?:^    |`)make ([a-z]+)", text_of(name), flags=re.MULTILINE)) <= targets
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_files_exist(name: str) -> None:
    assert missing_files(text_of(name)) == []


def test_a_missing_file_is_noticed() -> None:
    assert missing_files("see `core/nowhere.py` and `LICENSE` and `core/types.py`") == [
        "core/nowhere.py"
    ]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pictures_and_links_exist(name: str) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text_of(name))
    assert [t for t in targets if not ((ROOT / name).parent / t).exists()] == []
