from pathlib import Path

import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.export.formats import WRITERS, writer_for
from relight3d.export.ply import write_ply


def test_by_suffix_and_by_name():
    assert writer_for(Path("a/B.PLY")) is write_ply
    assert writer_for(Path("a.bin"), "ply") is write_ply
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in WRITERS)


@pytest.mark.parametrize(("path", "name"), [("a.stl", None), ("a", None), ("a.ply", "blend")])
def test_unknown_formats_list_the_known(path, name):
    with pytest.raises(ConfigurationError, match=r"Formats: .*ply"):
        writer_for(Path(path), name)
