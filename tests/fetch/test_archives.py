"""Downloads over loopback HTTP: resumed, checked, unpacked safely, in place whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.data import librispeech
from bench.errors import DataMissing
from bench.fetch import archives
from bench.fetch.archives import Archive, fetch, install


@dataclass
class Site:
    """What the server gives, how it misbehaves, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.files.get(self.path.lstrip("/"))
            wanted = self.headers.get("Range")
            made.asked.append(wanted)
            if body is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and made.ranges else 0
            if start and start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            # A cut connection gives part of what its header promised.
            self.wfile.write(body[start:][: made.cut])

        def log_message(self, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def offer(site: Site, name: str, body: bytes, **changes: object) -> Archive:
    site.files[name] = body
    known = {"places": {"set": "SET/set"}, "digest": f"sha256:{hashlib.sha256(body).hexdigest()}", "size": len(body)}
    return Archive(f"{site.url}/{name}", **(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("pack", [tar, zipped])
def test_install_puts_the_folder_in_place_and_leaves_nothing_else(pack: object, site: Site, tmp_path: Path) -> None:
    archive = offer(site, "a.bin", pack({"set/x/1.txt": b"one", "other/2.txt": b"two"}))  # type: ignore[operator]
    install(archive, tmp_path)
    assert (tmp_path / "SET/set/x/1.txt").read_bytes() == b"one"
    left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert left == {"SET"}
    install(archive, tmp_path)
    assert len(site.asked) == 1, "what is in place is not fetched again"


def test_a_download_goes_on_where_it_was_cut(site: Site, tmp_path: Path) -> None:
    body = np.random.default_rng(0).bytes(300_000)
    archive = offer(site, "big.bin", body)
    site.cut = 100_000
    assert fetch(archive, tmp_path).read_bytes() == body
    assert site.asked == [None, "bytes=100000-", "bytes=200000-"]


def test_a_download_goes_on_in_another_process_days_later(site: Site, tmp_path: Path) -> None:
    body = np.random.default_rng(1).bytes(5000)
    archive = offer(site, "big.bin", body)
    (tmp_path / "big.bin.part").write_bytes(body[:1234])
    assert fetch(archive, tmp_path).read_bytes() == body
    assert site.asked == ["bytes=1234-"]


def test_a_server_that_cannot_resume_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    body = np.random.default_rng(2).bytes(5000)
    archive = offer(site, "big.bin", body)
    site.ranges = False
    (tmp_path / "big.bin.part").write_bytes(b"something else")
    assert fetch(archive, tmp_path).read_bytes() == body


def test_a_spoilt_part_is_given_up_and_fetched_anew(site: Site, tmp_path: Path) -> None:
    body = np.random.default_rng(3).bytes(5000)
    archive = offer(site, "big.bin", body)
    (tmp_path / "big.bin.part").write_bytes(b"x" * 100)
    assert fetch(archive, tmp_path).read_bytes() == body
    assert site.asked == ["bytes=100-", None]


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "md5:" + "0" * 32])
def test_a_wrong_hash_unpacks_nothing_and_keeps_nothing(digest: str, site: Site, tmp_path: Path) -> None:
    archive = offer(site, "a.tar.gz", tar({"set/1.txt": b"one"}), digest=digest)
    with pytest.raises(DataMissing, match=f"{digest.partition(':')[0]} is .* expected 000"):
        install(archive, tmp_path)
    assert not (tmp_path / "SET").exists()
    assert not list(tmp_path.glob("a.tar.gz*"))


def test_a_wrong_size_is_noticed_before_anything_is_stored(site: Site, tmp_path: Path) -> None:
    archive = offer(site, "a.tar.gz", tar({"set/1.txt": b"one"}), size=7)
    with pytest.raises(DataMissing, match="expected 7"):
        install(archive, tmp_path)
    assert not list(tmp_path.glob("a.tar.gz*"))


def test_a_digest_that_nobody_publishes_is_recorded_after_a_good_unpacking_and_checked_ever_after(
    site: Site, tmp_path: Path
) -> None:
    good, other = tar({"set/1.txt": b"one"}), tar({"set/1.txt": b"other"})
    archive = offer(site, "a.bin", good, digest=None, size=None)
    site.files["a.bin"] = b"a page that says: come back later"
    with pytest.raises(DataMissing, match=r"a\.bin: cannot be unpacked safely"):
        install(archive, tmp_path)
    assert not (tmp_path / archives.CHECKSUMS).exists(), "what could not be unpacked is not what counts from now on"
    site.files["a.bin"] = good
    install(archive, tmp_path)
    shutil.rmtree(tmp_path / "SET")
    site.files["a.bin"] = other
    with pytest.raises(DataMissing, match="sha256 is"):
        install(archive, tmp_path)
    site.files["a.bin"] = good
    install(archive, tmp_path)
    assert (tmp_path / "SET/set/1.txt").read_bytes() == b"one"


def evil_tars() -> list[bytes]:
    def one(info: tarfile.TarInfo) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(info, io.BytesIO(b"x" * info.size))
        return buffer.getvalue()

    up = tarfile.TarInfo("set/../../evil.txt")
    up.size = 1
    link = tarfile.TarInfo("set/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("set/device")
    device.type = tarfile.CHRTYPE
    return [one(up), one(link), one(device)]


def evil_zips() -> list[bytes]:
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        info = zipfile.ZipInfo("set/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return [zipped({"../evil.txt": b"x"}), zipped({"/evil.txt": b"x"}), zipped({"set\\..\\..\\evil.txt": b"x"}),
            zipped({"C:/evil.txt": b"x"}), linked.getvalue()]  # fmt: skip


@pytest.mark.parametrize("body", [*evil_tars(), *evil_zips(), b"no archive at all"])
def test_unsafe_archives_are_refused_whole(body: bytes, site: Site, tmp_path: Path) -> None:
    root = tmp_path / "home"
    with pytest.raises(DataMissing, match="cannot be unpacked safely"):
        install(offer(site, "a.bin", body), root)
    assert not (root / "SET").exists()
    assert not list(tmp_path.rglob("evil*"))
    assert not list(root.glob(".unpacking*"))


def test_an_archive_without_the_folder_wanted_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="holds no 'set'"):
        install(offer(site, "a.bin", zipped({"else/1.txt": b"x"})), tmp_path)


def test_unreachable_servers_end_with_the_url_and_a_cure(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataMissing, match="HTTP 404") as caught:
        fetch(Archive(f"{site.url}/gone.zip"), tmp_path)
    assert f"{site.url}/gone.zip" in str(caught.value)
    assert len(site.asked) == 1, "a page that is not there is asked for once"
    with pytest.raises(DataMissing, match="Check the network"):
        fetch(Archive("http://127.0.0.1:9/a.zip"), tmp_path)
    archive = offer(site, "a.bin", b"0123456789")
    site.cut = 0
    (tmp_path / "a.bin.part").write_bytes(b"0123")
    with pytest.raises(DataMissing, match="4 bytes are kept"):
        fetch(archive, tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(DataMissing, match="forbids the network"):
        fetch(archive, tmp_path)


def test_too_small_a_disk_is_told_before_the_download(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="make room"):
        fetch(Archive(f"{site.url}/a.zip", size=10**15), tmp_path)
    assert not site.asked


def test_a_corpus_comes_by_name_alone(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio.write(tmp_path / "x.flac", np.zeros(1600, np.float32), 16000)
    members = {"LibriSpeech/test-clean/1/2/1-2-0000.flac": (tmp_path / "x.flac").read_bytes(),
               "LibriSpeech/test-clean/1/2/1-2.trans.txt": b"1-2-0000 HELLO THERE\n"}  # fmt: skip
    fake = offer(site, "test-clean.tar.gz", tar(members), places=librispeech.archive("test-clean").places,
                 optional=(librispeech.SPEAKERS,))  # fmt: skip
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(librispeech, "archive", lambda subset: fake)
    for _ in range(2):
        speech = data.load("librispeech#test-clean")
        assert [(u.id, u.text) for u in speech] == [("1-2-0000", "HELLO THERE")]
    assert len(site.asked) == 1


def test_zenodo_records_bring_their_own_sizes_and_hashes(site: Site, tmp_path: Path) -> None:
    body = zipped({"mls_polish/test/transcripts.txt": b"1_2_3\ttak\n"})
    record = {"files": [{"key": "MiniMLS.zip", "size": len(body), "checksum": f"md5:{hashlib.md5(body).hexdigest()}",
                         "links": {"self": f"{site.url}/files/MiniMLS.zip/content"}},
                        {"key": "README.md", "size": 1, "checksum": "md5:0", "links": {"self": "x"}}]}  # fmt: skip
    site.files["api/records/7"] = json.dumps(record).encode()
    site.files["files/MiniMLS.zip/content"] = body
    (archive,) = archives.zenodo(7, "MiniMLS", f"{site.url}/api")
    install(archive, tmp_path)
    assert (tmp_path / "MiniMLS/mls_polish/test/transcripts.txt").read_bytes() == b"1_2_3\ttak\n"
    with pytest.raises(DataMissing, match="cannot read"):
        archives.zenodo(8, "MiniMLS", f"{site.url}/api")


@pytest.mark.parametrize("subset", librispeech.RELEASE)
def test_addresses_are_complete(subset: str) -> None:
    archive = librispeech.archive(subset)
    assert archive.url.startswith("https://")
    assert len(str(archive.digest).removeprefix("sha256:")) == 64
    assert archive.size and archive.size > 3e8
