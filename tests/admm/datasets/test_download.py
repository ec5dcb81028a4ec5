"""Downloads from a real HTTPS server on this machine, good and bad ones."""

import hashlib
import http.server
import io
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import time

import pytest
import trustme

from admm.cli import main
from admm.datasets import DATASETS, IMAGES, catalog, download as module
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
    """Sends `CONTENT`, or what the last part of the address asks for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        kind = self.path.rpartition("/")[2].replace("%20", " ")
        if kind == "missing":
            self.send_error(404)
        elif kind in TARGETS:
            self.send_response(302)
            self.send_header("Location", TARGETS[kind])
            self.send_endless()
        elif kind in ("endless", "one chunk"):
            self.send_response(200)
            self.send_endless(b"-1\r\n" if kind == "one chunk" else b"10000\r\n")
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(SIZE))
            self.end_headers()
            self.wfile.write(CONTENT[: SIZE // 2])
            if kind == "broken":
                self.close_connection = True
                return
            if kind in ("held", "silent"):
                self.server.held.wait(timeout=60)
            self.wfile.write(CONTENT[SIZE // 2 :])

    def send_endless(self, head=b"10000\r\n"):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(head + bytes(2**16) + b"\r\n")

    def log_message(self, *words):
        pass


# Where redirections lead, by the last part of the address that they are at.
TARGETS = {
    "elsewhere": "/file",
    "insecure": "http://localhost:1/file",
    "local": "file:///etc/hostname",
    "round": "round",
    "nonsense": "https://[::1",
}


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
    monkeypatch.setenv("NO_PROXY", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    with Server(("localhost", 0), Handler) as running:
        running.asked = []
        running.held = threading.Event()  # set, the rest is sent
        running.socket = context.wrap_socket(running.socket, server_side=True)
        running.url = f"https://localhost:{running.server_address[1]}/"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.held.set()
        running.shutdown()
        thread.join()


def source(url, content=CONTENT, size=SIZE, checksum=sha256):
    return Source(("file",), "example.org", (Download(url, checksum(content), size),))


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def fetched(source, folder):
    return [line.split()[:2] for line in download("toy", source, folder)]


@pytest.mark.parametrize("kind", ["file", "elsewhere"])
@pytest.mark.parametrize(("checksum", "size"), [(sha256, SIZE), (git, None)])
def test_a_file_gets_its_name(server, tmp_path, kind, checksum, size):
    """Directly, or from where a redirection with an endless text leads."""
    toy = source(server.url + kind, checksum=checksum, size=size)
    path = tmp_path / "toy" / kind
    assert fetched(toy, path.parent) == [["fetching", toy.downloads[0].url + "," * (size == SIZE)]]
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == [kind]
    asked = len(server.asked)
    assert fetched(toy, path.parent) == []
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("kind", "changes", "error", "message"),
    [
        ("file", {"content": b"other"}, InputError, "is not the file of 256,000 bytes, sha256:d9"),
        ("file", {"content": b"x", "size": None}, InputError, "the file sha256:2d71.* 256,000 byt"),
        ("file", {"size": 256_001}, InputError, "of 256,001 bytes, .* another one of 256,000 byt"),
        ("file", {"size": 255_999}, InputError, "has more than the 255,999 bytes expected"),
        ("endless", {}, InputError, "has more than the 256,000 bytes expected"),
        ("one%20chunk", {}, InputError, "has more than the 256,000 bytes expected"),
        ("broken", {}, AdmmError, "cannot fetch https://localhost.*fetch it by other means into"),
        ("missing", {}, AdmmError, "404"),
        ("insecure", {}, InputError, "leads to http://localhost:1/file; only HTTPS is fetched"),
        ("local", {}, InputError, "leads to file:///etc/hostname; only HTTPS is fetched"),
        ("round", {}, AdmmError, "leads to more than 5 other addresses"),
        ("nonsense", {}, AdmmError, "cannot fetch https://localhost.*Invalid IPv6 URL"),
    ],
)
def test_anything_else_is_not_kept(server, tmp_path, kind, changes, error, message):
    with pytest.raises(error, match=message):
        fetched(source(server.url + kind, **changes), tmp_path)
    assert names(tmp_path) == []


def test_a_silent_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.5)
    with pytest.raises(AdmmError, match="cannot fetch .*silent .*Read timed out"):
        fetched(source(f"{server.url}silent"), tmp_path)
    assert names(tmp_path) == []


def test_an_unknown_certificate_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(AdmmError, match="certificate verify failed"):
        fetched(source(f"{server.url}file"), tmp_path)
    assert server.asked == []


def test_no_server(tmp_path):
    with pytest.raises(AdmmError, match="cannot fetch https://localhost:1/file"):
        fetched(source("https://localhost:1/file"), tmp_path)


def test_another_file_is_not_replaced(server, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InputError, match="file is there, but is not the file of 256,000 byt"):
        fetched(source(f"{server.url}file"), tmp_path)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_folder_in_place_of_the_file(server, tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(InputError, match="cannot read .*file .Is a directory"):
        fetched(source(f"{server.url}file", size=None), tmp_path)


def test_no_certificates(server, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none"))
    with pytest.raises(AdmmError, match="cannot fetch .*none"):
        fetched(source(f"{server.url}file"), tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "toy").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write .*toy"):
        fetched(source(f"{server.url}file"), tmp_path / "toy")


FETCH = """
import sys
from pathlib import Path
from admm.datasets.download import download
from admm.datasets.files import Download, Source
url, checksum, size, folder = sys.argv[1:]
list(download("toy", Source(("file",), "", (Download(url, checksum, int(size)),)), Path(folder)))
"""


def start(server, folder):
    words = (f"{server.url}held", sha256(CONTENT), str(SIZE), str(folder))
    return subprocess.Popen([sys.executable, "-c", FETCH, *words])


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_processes_at_once(server, tmp_path):
    both = [start(server, tmp_path) for _ in range(2)]
    wait_for(lambda: server.asked == ["/held"] * 2)
    server.held.set()
    assert [process.wait(timeout=30) for process in both] == [0, 0]
    assert names(tmp_path) == ["held"]
    assert (tmp_path / "held").read_bytes() == CONTENT


def test_a_killed_download_leaves_no_file_of_that_name(server, tmp_path):
    process = start(server, tmp_path)
    wait_for(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
    process.kill()
    process.wait()
    assert not (tmp_path / "held").exists()
    server.held.set()
    assert start(server, tmp_path).wait(timeout=30) == 0
    assert (tmp_path / "held").read_bytes() == CONTENT


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
    toy = Source(("bin/a", "bin/b"), "", (known,))
    assert fetched(toy, tmp_path) == []
    assert names(tmp_path) == ["a", "b", "bin", "toy.tar.gz"]
    assert (tmp_path / "bin/a").read_bytes() == b"mine"
    assert (tmp_path / "bin/b").read_bytes() == b"hello"
    shutil.rmtree(tmp_path / "bin")
    (tmp_path / "bin").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot write .*/bin \(File exists"):
        fetched(toy, tmp_path)


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
    assert "cora              graph   not there; admm datasets download cora --data-dir " in out
    monkeypatch.setitem(IMAGES, "toy14", catalog._KNOWN["toy"])  # made of the same files
    for name in ("toy", "toy14"):
        assert run("download", name, "--data-dir", tmp_path) == 0
    begin, end, again = capsys.readouterr().out.splitlines()
    assert begin == f"fetching {server.url}file, 256,000 bytes"
    assert end == f"toy is in {tmp_path}/toy"
    assert again == f"toy is there: {tmp_path}/toy (upstream's bytes)"
    assert server.asked == ["/file"]
    assert run("list", "--data-dir", tmp_path) == 0
    assert f"{tmp_path}/toy\n" in capsys.readouterr().out
    (tmp_path / "toy" / "file").write_bytes(b"mine")
    assert run("download", "toy", "--data-dir", tmp_path) == 0
    assert "(packed anew or changed since upstream: file)" in capsys.readouterr().out


def test_check(data_dir, tmp_path, capsys):
    assert run("check", data_dir / "planetoid") == 0
    cora, how, citeseer, _ = capsys.readouterr().out.splitlines()
    assert cora.startswith("cora: graph of 2,708 nodes, 10,556 directed edges, 1,433 features")
    assert cora.endswith("500 for validation, 1,000 for the test; upstream's bytes")
    assert how.endswith("duplicates: 302 dropped; split: upstream's public one")
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
    (tmp_path / "ind.cora.x").unlink()
    assert run("check", tmp_path) == 2
    assert "cora: ind.cora.x not found below" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["download", "karate"], "unknown data set 'karate'; expected one of digits, cora"),
        (["download", "flickr"], "flickr is not downloaded: github.com/GraphSAINT"),
        (["check", "nowhere"], "expected a folder or a .npz graph, got nowhere, which is neither"),
        (["check", "tests"], "tests has no graph and the files of no known data set; known are d"),
        (["check", "nowhere.npz"], "no such file: nowhere.npz"),
        (["check", "x" * 300], "(File name too long)"),
        (["check", "x" * 300 + ".npz"], "(File name too long)"),
        (["download", "cora", "--data-dir", "x" * 300], "(File name too long)"),
        (["download", "14"], "unknown data set '14'; expected one of"),
        ([], "the following arguments are required: action (see admm datasets --help)"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
