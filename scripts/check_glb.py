"""Judge .glb files by Khronos' glTF validator: no error and no warning, or exit code 1.

    python scripts/check_glb.py asset.glb [more.glb ...]

Needs Node.js and npm; the validator is installed into the user's cache on first use.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from node_tools import VERSIONS, MissingToolError, node, npm_package, stop

SCRIPT = Path(__file__).with_name("validate_glb.mjs")
SEVERITIES = ("errors", "warnings", "infos", "hints")


def main() -> None:
    """Validate every file and say what was found."""
    parser = argparse.ArgumentParser(description="Validate .glb files by Khronos' validator.")
    parser.add_argument("files", nargs="+", type=Path)
    files = parser.parse_args().files
    sound = True
    try:
        for path in files:
            report = validated(path)
            print(f"{path}: {summary(report)}")
            sound &= is_sound(report)
    except (MissingToolError, ValueError) as error:
        stop(error)
    sys.exit(0 if sound else 1)


def validated(path: Path) -> dict:
    """The validator's report on one file.

    Raises:
        MissingToolError: Node.js or the validator is not there.
        ValueError: The file does not exist, or the validator refuses to read it.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Export one: relight3d export RUN --out {path}")
    command = [node(), str(SCRIPT), str(npm_package("gltf-validator")), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{path} is nothing that the validator can read: {done.stderr.strip()}")
    return json.loads(done.stdout)


def is_sound(report: dict) -> bool:
    """Whether nothing is wrong and nothing doubtful."""
    return not (report["issues"]["numErrors"] or report["issues"]["numWarnings"])


def summary(report: dict) -> str:
    """Counts, what the file holds, and every message on a line of its own."""
    issues, info = report["issues"], report.get("info", {})
    counts = ", ".join(f"{issues['num' + name.capitalize()]} {name}" for name in SEVERITIES)
    held = f"{info.get('totalTriangleCount', 0):,} triangles"
    lines = [f"{counts} (gltf-validator {VERSIONS['gltf-validator']}; {held})"]
    lines += [
        f"  {m['code']} at {m.get('pointer', '?')}: {m['message']}" for m in issues["messages"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
