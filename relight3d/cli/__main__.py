"""`python -m relight3d.cli` is `relight3d`."""

from relight3d.cli import main

if __name__ == "__main__":
    main()
