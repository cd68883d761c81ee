"""Copy a capture and forget what it says of its lights: one unknown light for all photos.

    python scripts/hide_lights.py CAPTURE COPY

Trained beside the original, the copy shows what knowing the lights is worth. Relit truth and its
environment maps stay, so both are scored alike.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Import, then strike out every frame's light."""
    parser = argparse.ArgumentParser(description="Copy a capture without its known lights.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("copy", type=Path)
    options = parser.parse_args()
    command = [sys.executable, "-m", "relight3d.cli", "import", options.capture, options.copy]
    subprocess.run(command, check=True)
    path = options.copy / "transforms.json"
    record = json.loads(path.read_text())
    for frame in record["frames"]:
        frame.pop("light", None)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{options.copy} says nothing of its lights")


if __name__ == "__main__":
    main()
