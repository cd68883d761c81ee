"""Archives of strangers: nothing gets out of the folder, and nothing is left half unpacked."""

import importlib.util
import io
import os
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_script() -> ModuleType:
    path = ROOT / "scripts" / "safe_unpack.py"
    spec = importlib.util.spec_from_file_location("safe_unpack", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def zipped(path: Path, files: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tarred(path: Path, *members: tuple[str, bytes, bytes], mode: str = "w:gz") -> Path:
    """Members by name, kind and content (or target)."""
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content.decode()
                file.addfile(info)
    return path


def refuse(archive: Path, words: str) -> None:
    before = sorted(path.name for path in archive.parent.iterdir())
    with pytest.raises(script.UnpackError, match=words):
        script.unpack(archive, archive.parent / "out")
    assert sorted(path.name for path in archive.parent.iterdir()) == before


def test_zips_and_tars_are_unpacked(tmp_path):
    files = {"a/b.txt": b"b", "c.txt": b"cc"}
    assert script.unpack(zipped(tmp_path / "x.zip", files), tmp_path / "x") == 3
    members = [(name, tarfile.REGTYPE, content) for name, content in files.items()]
    for mode, end in (("w", "tar"), ("w:gz", "tar.gz"), ("w:xz", "tar.xz")):
        archive = tarred(tmp_path / f"y.{end}", ("./", tarfile.DIRTYPE, b""), *members, mode=mode)
        assert script.unpack(archive, tmp_path / end) == 3
    for folder in ("x", "tar", "tar.gz", "tar.xz"):
        assert (tmp_path / folder / "a/b.txt").read_bytes() == b"b"
        assert (tmp_path / folder / "c.txt").read_bytes() == b"cc"


def test_one_folder_of_the_archives_name_is_that_folder(tmp_path):
    script.unpack(zipped(tmp_path / "x.zip", {"x/a": b"1", "x/b": b"2"}), tmp_path / "x")
    script.unpack(zipped(tmp_path / "y.zip", {"z/a": b"1"}), tmp_path / "y")
    assert (tmp_path / "x/a").is_file() and (tmp_path / "y/z/a").is_file()
    assert sorted(os.listdir(tmp_path)) == ["x", "x.zip", "y", "y.zip"]


HOSTILE = ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "\\evil", "a/..", "x" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_zip_may_not_lead_out(tmp_path, name):
    refuse(zipped(tmp_path / "x.zip", {"good": b"1", name: b"evil"}), "leads out of the folder")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tar_may_not_lead_out(tmp_path, name):
    archive = tarred(tmp_path / "x.tar.gz", (name, tarfile.REGTYPE, b"evil"))
    refuse(archive, "leads out of the folder")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_tars(tmp_path, kind):
    link = ("link", kind, str(tmp_path).encode())
    archive = tarred(tmp_path / "x.tar.gz", link, ("link/evil", tarfile.REGTYPE, b"evil"))
    refuse(archive, "a link or another unusual kind of file")


def test_links_in_zips(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    refuse(tmp_path / "x.zip", "a link or another unusual kind of file")


def test_bombs(tmp_path):
    bomb = {"zeros": bytes(script.SPARE_BYTES + (4 << 20))}
    refuse(zipped(tmp_path / "x.zip", bomb, compression=zipfile.ZIP_DEFLATED), "unusual for its")


def test_more_bytes_than_declared(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SPARE_BYTES", 0)
    monkeypatch.setattr(script, "MAX_GROWTH", 1)
    content = io.BytesIO(bytes(5000))
    monkeypatch.setattr(
        script, "_zip_members", lambda archive, file: iter([("a", 1, False, content)])
    )
    refuse(zipped(tmp_path / "x.zip", {"a": b"1"}), "more bytes than it declares")


def test_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "MAX_MEMBERS", 3)
    refuse(zipped(tmp_path / "x.zip", {str(i): b"" for i in range(5)}), "more than 3 files")


def test_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(script.shutil, "disk_usage", lambda path: type("U", (), {"free": 10}))
    refuse(zipped(tmp_path / "x.zip", {"a": b"1"}), "No room")


def test_damaged_archives(tmp_path):
    archive = zipped(tmp_path / "x.zip", {"a": bytes(10_000)})
    data = bytearray(archive.read_bytes())
    data[5000] ^= 1
    archive.write_bytes(data)
    refuse(archive, "cannot be unpacked: Bad CRC-32")
    archive.write_bytes(b"no archive")
    refuse(archive, "cannot be unpacked")
    good = tarred(tmp_path / "y.tar.gz", ("a", tarfile.REGTYPE, os.urandom(100_000)))
    good.write_bytes(good.read_bytes()[:50_000])
    refuse(good, "cannot be unpacked")


def test_a_name_given_twice(tmp_path):
    member = ("a", tarfile.REGTYPE, b"1")
    refuse(tarred(tmp_path / "x.tar.gz", member, member), "cannot be unpacked")


def test_an_unpacked_folder_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    refuse(zipped(tmp_path / "x.zip", {"a": b"1"}), "out exists")
