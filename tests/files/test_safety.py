import os

import pytest

from relight3d.core.errors import FileFormatError
from relight3d.files.exif import Exif, read_exif
from relight3d.files.safety import read_json, resolve_inside


def test_paths_inside_resolve(tmp_path):
    assert resolve_inside(tmp_path, "./a/../b.png", "x") == tmp_path.resolve() / "b.png"
    assert resolve_inside(tmp_path, "a\\b.png", "x") == tmp_path.resolve() / "a/b.png"


@pytest.mark.parametrize(
    "path", ["../b.png", "a/../../b", "/etc/passwd", "C:\\b.png", "", "a\0b", "\ud800", "é" * 128]
)
def test_paths_that_leave_are_refused(tmp_path, path):
    with pytest.raises(FileFormatError, match="frame 3"):
        resolve_inside(tmp_path / "capture", path, "transforms.json, frame 3")


def test_links_that_leave_are_refused(tmp_path):
    root = tmp_path / "capture"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    os.symlink(tmp_path / "secret.png", root / "a.png")
    os.symlink(tmp_path, root / "up")
    for path in ("a.png", "up/secret.png"):
        with pytest.raises(FileFormatError, match="leads out"):
            resolve_inside(root, path, "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1', "line 1"),
        ('{"a": 1, "a": 2}', "given twice"),
        ("[" * 200_000, "nested|broken"),
        ("[1]", "list where an object"),
        ("", "empty"),
        ("\xff\xfe", "UTF-8|broken"),
    ],
)
def test_broken_json_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "t.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileFormatError, match=words) as caught:
        read_json(path)
    assert "t.json" in str(caught.value)


def test_huge_json_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("relight3d.files.safety.MAX_JSON_BYTES", 8)
    (tmp_path / "t.json").write_text('{"a": "long enough"}')
    with pytest.raises(FileFormatError, match="bytes"):
        read_json(tmp_path / "t.json")


def test_damaged_metadata_is_empty(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00")
    assert read_exif(tmp_path / "a.jpg") == Exif()
    assert read_exif(tmp_path / "absent.jpg") == Exif()
