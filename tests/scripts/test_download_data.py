"""Downloads from a server of our own: resumed, begun again, verified, and never half there."""

import hashlib
import http.server
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_script() -> ModuleType:
    path = ROOT / "scripts" / "download_data.py"
    spec = importlib.util.spec_from_file_location("download_data", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


script = load_script()
CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content`, as `server` is set up to behave."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append((self.headers.get("Range"), self.headers.get("If-Range")))
        if server.status:
            self.send_error(server.status)
            return
        start = 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and server.ranges and self.headers.get("If-Range") in (None, server.validator):
            start = int(found[1])
        if start >= len(server.content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if server.validator:
            name = "ETag" if server.validator.startswith(('"', "W/")) else "Last-Modified"
            self.send_header(name, server.validator)
        size = len(server.content)
        if start:
            shift = server.lie
            self.send_header("Content-Range", f"bytes {start + shift}-{size - 1}/{size}")
        if server.told_size:
            self.send_header("Content-Length", str(size - start))
        self.end_headers()
        body = server.content[start:]
        if server.cuts:
            body = body[: server.cuts.pop(0)]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    content, status, ranges, validator = CONTENT, 0, True, '"one"'
    told_size, lie = True, 0

    def __init__(self) -> None:
        self.asked: list[tuple] = []
        self.cuts: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is meant."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data/a.bin"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def said() -> list[str]:
    return []


def fetch(server: Server, folder: Path, said: list[str], **known) -> Path:
    return script.fetch(script.Remote(server.url, **known), folder, said.append, lambda s: None)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_and_its_checksum_recorded(tmp_path, server, said):
    path = fetch(server, tmp_path / "new", said)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["a.bin", "a.bin.sha256"]
    assert (tmp_path / "new/a.bin.sha256").read_text() == f"{DIGEST}  a.bin\n"
    assert any("no checksum is published" in line and DIGEST in line for line in said)
    assert any("100 %" in line and "min left" in line for line in said)
    fetch(server, tmp_path / "new", said)
    assert len(server.asked) == 1 and "is here already, whole" in said[-1]


@pytest.mark.parametrize("validator", ['"one"', "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_cut_is_mended_with_what_is_missing(tmp_path, server, said, validator):
    server.validator, server.cuts = validator, [300_000, 200_000]
    path = fetch(server, tmp_path, said, sha256=DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.asked == [
        (None, None),
        ("bytes=300000-", validator),
        ("bytes=500000-", validator),
    ]
    assert "SHA-256 is right (published)" in said


def test_another_run_continues(tmp_path, server, said):
    server.cuts = [100_000] + [0] * script.ATTEMPTS
    with pytest.raises(script.DownloadError, match="run the same command again to continue"):
        fetch(server, tmp_path, said)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert (tmp_path / "a.bin.part").stat().st_size == 100_000
    server.cuts, server.asked = [], []
    assert fetch(server, tmp_path, said).read_bytes() == CONTENT
    assert server.asked == [("bytes=100000-", '"one"')]


def test_a_whole_part_is_not_fetched_again(tmp_path, server, said):
    server.cuts = [len(CONTENT) - 1]
    server.status = 0
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    told = {"url": server.url, "validator": '"one"', "total": len(CONTENT)}
    (tmp_path / "a.bin.part.json").write_text(script.json.dumps(told))
    assert fetch(server, tmp_path, said, sha256=DIGEST).read_bytes() == CONTENT
    assert server.asked == []


def test_a_server_without_ranges_is_asked_for_everything(tmp_path, server, said):
    server.ranges, server.cuts = False, [300_000]
    assert fetch(server, tmp_path, said).read_bytes() == CONTENT
    assert any("starting again" in line for line in said)


@pytest.mark.parametrize("validator", ["", 'W/"weak"'])
def test_a_file_that_cannot_be_recognised_is_begun_again(tmp_path, server, said, validator):
    server.validator, server.cuts = validator, [300_000]
    assert fetch(server, tmp_path, said).read_bytes() == CONTENT
    assert server.asked == [(None, None)] * 2


def test_a_file_that_changed_on_the_server_is_begun_again(tmp_path, server, said):
    server.cuts = [300_000] + [0] * script.ATTEMPTS
    with pytest.raises(script.DownloadError):
        fetch(server, tmp_path, said)
    server.cuts, server.validator, server.content = [], '"two"', CONTENT[::-1]
    assert fetch(server, tmp_path, said).read_bytes() == CONTENT[::-1]


def test_a_file_that_became_shorter_is_begun_again(tmp_path, server, said):
    server.cuts = [300_000] + [0] * script.ATTEMPTS
    with pytest.raises(script.DownloadError):
        fetch(server, tmp_path, said)
    server.cuts, server.content = [], CONTENT[:1000]
    assert fetch(server, tmp_path, said).read_bytes() == CONTENT[:1000]


def test_a_part_of_another_address_is_not_continued(tmp_path, server, said):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    told = {"url": "http://elsewhere/a.bin", "validator": '"one"', "total": len(CONTENT)}
    (tmp_path / "a.bin.part.json").write_text(script.json.dumps(told))
    assert fetch(server, tmp_path, said).read_bytes() == CONTENT


def test_a_server_that_sends_another_part_is_not_believed(tmp_path, server, said):
    server.cuts, server.lie = [300_000], 7
    with pytest.raises(script.DownloadError, match="another part than asked for"):
        fetch(server, tmp_path, said)
    assert not (tmp_path / "a.bin").exists()


def test_a_size_that_is_not_told(tmp_path, server, said):
    server.told_size = False
    assert fetch(server, tmp_path, said, sha256=DIGEST).read_bytes() == CONTENT


def test_a_wrong_published_checksum_leaves_nothing(tmp_path, server, said):
    with pytest.raises(script.DownloadError, match=r"SHA-256 is .*published is 0000"):
        fetch(server, tmp_path, said, sha256="0" * 64)
    assert names(tmp_path) == []


def test_what_changed_since_the_first_download_is_noticed(tmp_path, server, said):
    fetch(server, tmp_path, said).unlink()
    server.content, server.validator = CONTENT[::-1], '"two"'
    with pytest.raises(script.DownloadError, match=r"recorded in a\.bin\.sha256 is"):
        fetch(server, tmp_path, said)
    assert names(tmp_path) == ["a.bin.sha256"]


def test_a_damaged_file_is_noticed_and_kept_for_its_owner(tmp_path, server, said):
    path = fetch(server, tmp_path, said)
    path.write_bytes(b"damaged")
    with pytest.raises(script.DownloadError, match="Remove it and run the same command again"):
        fetch(server, tmp_path, said)
    assert path.read_bytes() == b"damaged"


def test_another_size_than_the_catalogue_says_is_told(tmp_path, server, said):
    fetch(server, tmp_path, said, bytes=12)
    assert any("the catalogue says 12" in line for line in said)


def test_a_missing_file_is_not_asked_for_again(tmp_path, server, said):
    server.status = 404
    with pytest.raises(script.DownloadError, match=r"404.*see the data set's page"):
        fetch(server, tmp_path, said)
    assert len(server.asked) == 1 and names(tmp_path) == []


def test_a_busy_server_is_asked_again(tmp_path, server, said):
    server.status = 503
    with pytest.raises(script.DownloadError, match="503"):
        fetch(server, tmp_path, said)
    assert len(server.asked) == script.ATTEMPTS


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "a.zip"])
def test_only_http_is_followed(tmp_path, said, url):
    with pytest.raises(script.DownloadError, match="neither http nor https"):
        script.fetch(script.Remote(url), tmp_path, said.append)


def test_the_catalogue_is_complete():
    catalogue = script.read_catalogue()
    for name, dataset in catalogue.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert dataset.licence and dataset.title
        assert dataset.paper.startswith("https://") and dataset.page.startswith("https://")
        assert bool(dataset.files) != bool(dataset.by_hand)
        for file in dataset.files:
            assert file.url.startswith("https://") and script.stem_of(file.name)
            assert re.fullmatch(r"(?:[0-9a-f]{64})?", file.sha256)
        assert len({file.name for file in dataset.files}) == len(dataset.files)
    for words in ("tensoir", "synthetic4relight", "stanford-orb", "openillumination", "nrhints",
                  "shiny", "glossy", "nerf-synthetic", "mip-nerf-360"):  # fmt: skip
        assert any(name.startswith(words) for name in catalogue)


def test_the_command_line(tmp_path, server, capsys, monkeypatch):
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("scene/a.txt", "hello")
    server.content = packed.getvalue()
    url = server.url.replace("a.bin", "a.zip")
    entry = script.Dataset("Title", "https://p", "https://q", "unstated", (script.Remote(url),))
    monkeypatch.setattr(script, "read_catalogue", lambda: {"some": entry})
    assert script.main(["--list"]) == 0
    assert "some  (size unknown)" in capsys.readouterr().out
    for _ in range(2):
        assert script.main(["some", "--out", str(tmp_path)]) == 0
    assert "licence: unstated" in capsys.readouterr().out
    assert (tmp_path / "some/a/scene/a.txt").read_text() == "hello"
    assert script.main(["other"]) == 2
    assert script.main(["some", "--out", str(tmp_path), "--only", "b*"]) == 1
    assert "There are: a.zip." in capsys.readouterr().err


def test_sizes_in_words():
    assert [script.size_words(n) for n in (12, 1500, 2.5e9)] == ["12 B", "1.5 kB", "2.5 GB"]
    assert script.stem_of("x.tar.gz") == "x" and script.stem_of("x.pdf") is None
