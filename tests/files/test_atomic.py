import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from relight3d.core.errors import OutputError
from relight3d.files.atomic import atomic_file, atomic_folder


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_file_appears_whole_and_alone(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    with atomic_file(target) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_failure_keeps_the_old_file_and_its_error(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_writing_nothing_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="produced nothing"), atomic_file(tmp_path / "a.png"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may write to"),
        (errno.EIO, "Check the path"),
    ],
)
def test_system_errors_say_what_to_do(tmp_path, number, advice):
    with pytest.raises(OutputError, match=advice) as caught, atomic_file(tmp_path / "a.bin"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "a.bin") in str(caught.value)
    assert names(tmp_path) == []


def test_a_file_that_hits_the_size_limit_leaves_nothing(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        from relight3d.core.errors import OutputError
        from relight3d.files.atomic import atomic_file
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            with atomic_file(Path(sys.argv[1])) as temporary:
                temporary.write_bytes(bytes(100_000))
        except OutputError as error:
            print(error)
    """
    target = tmp_path / "big.bin"
    target.write_text("old")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(target)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Could not write" in result.stdout
    assert "big.bin" in result.stdout
    assert target.read_text() == "old"
    assert names(tmp_path) == ["big.bin"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_kill_9_in_the_middle_leaves_the_old_content(tmp_path, kind):
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from relight3d.files.atomic import atomic_{kind}
        options = {{"overwrite": True}} if "{kind}" == "folder" else {{}}
        with atomic_{kind}(Path(sys.argv[1]), **options) as temporary:
            (temporary / "x" if "{kind}" == "folder" else temporary).write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    target = tmp_path / "run.bin"
    content = target / "x" if kind == "folder" else target
    content.parent.mkdir(exist_ok=True)
    content.write_text("old")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(target)], check=False
    )
    assert result.returncode == -signal.SIGKILL
    assert content.read_text() == "old"
    assert len(names(tmp_path)) == 2  # the abandoned temporary, which the next write removes
    if kind == "folder":
        with atomic_folder(target, overwrite=True) as temporary:
            (temporary / "x").write_text("new")
    else:
        with atomic_file(target) as temporary:
            temporary.write_text("new")
    assert content.read_text() == "new"
    assert names(tmp_path) == ["run.bin"]


def test_a_living_writer_is_left_alone(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_file(target) as outer:
        outer.write_text("outer")
        with atomic_file(target) as inner:
            inner.write_text("inner")
        assert target.read_text() == "inner"
    assert target.read_text() == "outer"


def test_a_link_is_written_through(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with atomic_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


@pytest.mark.parametrize("name", ["folder", "/dev/null"])
def test_what_is_not_a_plain_file_is_never_replaced(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="not a plain file"), atomic_file(tmp_path / name):
        raise AssertionError("the body must not run")


def test_a_parent_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Could not write"), atomic_file(tmp_path / "file/a.txt"):
        raise AssertionError("the body must not run")


def test_folder_appears_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()  # an empty one may be there already
    with atomic_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_text("1")
        assert names(target) == []
    assert (target / "sub" / "a").read_text() == "1"
    assert names(tmp_path) == ["out"]


def test_full_folder_is_refused_unless_told(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "precious").write_text("1")
    with pytest.raises(OutputError, match="not empty"), atomic_folder(target):
        raise AssertionError("the body must not run")
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "other").write_text("2")
    assert names(target) == ["other"]
    assert names(tmp_path) == ["out"]


def test_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    with pytest.raises(OutputError), atomic_folder(target, overwrite=True) as temporary:
        (temporary / "half").write_text("2")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(target) == ["old"]
    assert names(tmp_path) == ["out"]


def test_folder_where_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="a file has that name"), atomic_folder(tmp_path / "out"):
        raise AssertionError("the body must not run")


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_target(tmp_path):
    for make in (atomic_file, atomic_folder):
        with pytest.raises(PermissionError), make(tmp_path / "target"):
            raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "photo.png"))
        with pytest.raises(OutputError, match="target"), make(tmp_path / "target") as temporary:
            raise PermissionError(errno.EACCES, "Permission denied", str(temporary / "photo.png"))
        with pytest.raises(OutputError, match="disk is full"), make(tmp_path / "target"):
            raise OSError(errno.ENOSPC, "No space left", str(tmp_path / "photo.png"))
    assert list(tmp_path.iterdir()) == []
