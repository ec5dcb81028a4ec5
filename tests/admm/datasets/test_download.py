"""Downloads from a real HTTPS server on this machine, good and bad ones."""

import hashlib
import http.server
import io
import ssl
import stat
import subprocess
import sys
import tarfile
import threading
import time

import pytest
import trustme

from admm.cli import main
from admm.datasets import DATASETS, IMAGES, catalog
from admm.datasets.download import download, is_upstream
from admm.datasets.files import Download, Source
from admm.errors import AdmmError, InputError, OutputError

CONTENT = bytes(range(256)) * 1000
SIZE = len(CONTENT)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def git(content):
    return f"git:{hashlib.sha1(b'blob %d' % len(content) + bytes(1) + content).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        kind = self.path.rpartition("/")[2]
        if kind == "missing":
            self.send_error(404)
        elif kind == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://localhost:1/file")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif kind == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self.wfile.write(b"10000\r\n" + bytes(2**16) + b"\r\n")
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(SIZE))
            self.end_headers()
            half = len(CONTENT) // 2
            self.wfile.write(CONTENT[:half])
            if kind == "broken":
                self.close_connection = True
                return
            time.sleep(1 if kind == "slow" else 0)
            self.wfile.write(CONTENT[half:])

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients may hang up."""


@pytest.fixture
def certificate(tmp_path_factory):
    """The server's certificate, and the file of the authority that signed it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority.issue_cert("localhost"), path


@pytest.fixture
def server(certificate, monkeypatch):
    """Address of a server that is trusted; `server.asked` lists what it was asked for."""
    own, authority = certificate
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    with Server(("localhost", 0), Handler) as running:
        running.asked = []
        running.socket = context.wrap_socket(running.socket, server_side=True)
        running.url = f"https://localhost:{running.server_address[1]}/"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def source(url, content=CONTENT, size=SIZE, checksum=sha256):
    return Source(("file",), "example.org", (Download(url, checksum(content), size),))


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize(("checksum", "size"), [(sha256, SIZE), (git, None)])
def test_a_file_gets_its_name(server, tmp_path, checksum, size):
    toy = source(f"{server.url}file", checksum=checksum, size=size)
    assert download("toy", toy, tmp_path / "toy") == [tmp_path / "toy" / "file"]
    assert (tmp_path / "toy" / "file").read_bytes() == CONTENT
    assert names(tmp_path / "toy") == ["file"]
    assert stat.S_IMODE((tmp_path / "toy" / "file").stat().st_mode) & 0o600 == 0o600
    assert download("toy", toy, tmp_path / "toy") == []
    assert server.asked == ["/file"]


@pytest.mark.parametrize(
    ("kind", "changes", "error", "message"),
    [
        ("file", {"content": b"other"}, InputError, "is not what it was: expected 256,000 bytes"),
        ("file", {"content": b"x", "size": None}, InputError, "expected sha256:2d71.*got another"),
        ("file", {"size": 256_001}, InputError, "expected 256,001 bytes .* of 256,000 bytes"),
        ("file", {"size": 255_999}, InputError, "has more than the 255,999 bytes expected"),
        ("endless", {}, InputError, "has more than the 256,000 bytes expected"),
        ("broken", {}, AdmmError, "cannot fetch https://localhost.*fetch it by other means into"),
        ("missing", {}, AdmmError, "404"),
        ("elsewhere", {}, AdmmError, "No connection adapters were found for 'http://localhost:1"),
    ],
)
def test_anything_else_is_not_kept(server, tmp_path, kind, changes, error, message):
    with pytest.raises(error, match=message):
        download("toy", source(server.url + kind, **changes), tmp_path)
    assert names(tmp_path) == []


def test_an_unknown_certificate_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(AdmmError, match="certificate verify failed"):
        download("toy", source(f"{server.url}file"), tmp_path)
    assert server.asked == []


def test_no_server(tmp_path):
    with pytest.raises(AdmmError, match="cannot fetch https://localhost:1/file"):
        download("toy", source("https://localhost:1/file"), tmp_path)


def test_another_file_is_not_replaced(server, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InputError, match="file is there; move it away .* another file of 4 bytes"):
        download("toy", source(f"{server.url}file"), tmp_path)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "toy").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write .*toy"):
        download("toy", source(f"{server.url}file"), tmp_path / "toy")


FETCH = """
import sys
from pathlib import Path
from admm.datasets.download import download
from admm.datasets.files import Download, Source
url, checksum, size, folder = sys.argv[1:]
download("toy", Source(("file",), "", (Download(url, checksum, int(size)),)), Path(folder))
"""


def start(server, folder):
    words = (f"{server.url}slow", sha256(CONTENT), str(SIZE), str(folder))
    return subprocess.Popen([sys.executable, "-c", FETCH, *words])


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_processes_at_once(server, tmp_path):
    both = [start(server, tmp_path) for _ in range(2)]
    assert [process.wait(timeout=30) for process in both] == [0, 0]
    assert server.asked == ["/slow"] * 2
    assert names(tmp_path) == ["slow"]
    assert (tmp_path / "slow").read_bytes() == CONTENT


def test_a_killed_download_leaves_no_file_of_that_name(server, tmp_path):
    process = start(server, tmp_path)
    wait_for(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
    process.kill()
    process.wait()
    assert not (tmp_path / "slow").exists()
    assert start(server, tmp_path).wait(timeout=30) == 0
    assert (tmp_path / "slow").read_bytes() == CONTENT


def test_archives_are_unpacked(tmp_path):
    """The named files and no others; those that are there stay."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("bin/a", "bin/b", "../c", "bin/d"):
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"hello"))
    (tmp_path / "toy.tar.gz").write_bytes(packed.getvalue())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/a").write_bytes(b"mine")
    known = Download("https://example.org/toy.tar.gz", sha256(packed.getvalue()))
    assert download("toy", Source(("bin/a", "bin/b"), "", (known,)), tmp_path) == []
    assert names(tmp_path) == ["a", "b", "bin", "toy.tar.gz"]
    assert (tmp_path / "bin/a").read_bytes() == b"mine"
    assert (tmp_path / "bin/b").read_bytes() == b"hello"


def test_what_is_known_of_upstream():
    every = [each for source in (DATASETS | IMAGES).values() for each in source.downloads]
    assert len(every) == 24 + 4 + 3 * 2 * 4 + 2
    for each in every:
        kind, _, digest = each.checksum.partition(":")
        assert each.url.startswith("https://")
        assert len(bytes.fromhex(digest)) == {"sha256": 32, "git": 20}[kind]


def test_upstream_files_are_known(data_dir):
    for name in ("cora", "citeseer"):
        for each in DATASETS[name].downloads:
            assert is_upstream(each, next(data_dir.rglob(each.name)))


def run(*arguments):
    return main(["datasets", *map(str, arguments)])


def test_the_command(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(catalog._KNOWN, "toy", source(f"{server.url}file"))
    assert run("list", "--data-dir", tmp_path) == 0
    out = capsys.readouterr().out
    assert "digits            both    embedded, from scikit-learn\n" in out
    assert "cora              graph   not there; admm datasets download cora\n" in out
    assert run("download", "toy", "--data-dir", tmp_path) == 0
    assert f"{tmp_path}/toy/file: 256,000 bytes\ntoy is in" in capsys.readouterr().out
    assert run("list", "--data-dir", tmp_path) == 0
    assert f"{tmp_path}/toy\n" in capsys.readouterr().out


def test_check(data_dir, tmp_path, capsys):
    assert run("check", data_dir / "planetoid") == 0
    cora, citeseer = capsys.readouterr().out.splitlines()
    assert cora.startswith("cora: graph of 2,708 nodes, 10,556 directed edges, 1,433 features")
    assert cora.endswith("500 for validation, 1,000 for the test; upstream's bytes")
    assert citeseer.startswith("citeseer: graph of 3,327 nodes")
    assert run("check", data_dir) == 0
    out = capsys.readouterr().out
    assert "mnist: 70,000 images of 28×28×1, 10 classes; 55,000 for training" in out
    path = data_dir / "npz" / "amazon_electronics_photo.npz"
    assert f"packed anew or changed since upstream: {path.name}\n" in out
    assert run("check", path) == 0
    assert "graph of 7,650 nodes" in capsys.readouterr().out
    for part in (data_dir / "planetoid").iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / "ind.cora.x").write_bytes(b"")
    assert run("check", tmp_path) == 2
    found = capsys.readouterr()
    assert found.out.startswith("citeseer: graph")
    assert "ind.cora.x is not a readable Planetoid file" in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["download", "karate"], "unknown data set 'karate'; expected one of digits, cora"),
        (["download", "flickr"], "flickr is not downloaded: github.com/GraphSAINT"),
        (["check", "nowhere"], "nowhere has the files of no known data set; known are digits"),
        (["check", "nowhere.npz"], "no such file: nowhere.npz"),
        ([], "the following arguments are required: action (see admm datasets --help)"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
