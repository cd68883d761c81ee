"""`python -m relight3d.cli` is `relight3d`."""

from relight3d.cli import main

main()
