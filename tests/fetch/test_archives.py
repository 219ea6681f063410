"""Downloads over loopback HTTP: resumed, checked, unpacked safely, in place whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import multiprocessing
import resource
import shutil
import signal
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
from bench.fetch import unpack as unpacking
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


def untouched(root: Path) -> None:
    """Nothing half is left: locks, records and archives apart, the data home is empty."""
    left = [path.name for path in root.rglob("*") if not path.name.endswith(".lock")]
    assert left == [], left


def refused(archive: Archive, root: Path, *words: str) -> str:
    with pytest.raises(DataMissing) as caught:
        install(archive, root)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text
    return text


def encrypted() -> bytes:
    body = bytearray(zipped({"set/1.txt": b"one"}))
    body[6] |= 1  # the flag of the local header, and that of the directory
    body[body.index(b"PK\x01\x02") + 8] |= 1
    return bytes(body)


WHOLE = tar({f"set/{index}.bin": np.random.default_rng(index).bytes(5000) for index in range(8)})
PLAIN = gzip.decompress(WHOLE)


def damaged_zip() -> bytes:
    body = bytearray(zipped({"set/1.txt": b"one " * 50}))
    body[60] ^= 1
    return bytes(body)


BROKEN = {
    "an encrypted zip": (encrypted(), "is encrypted: unpack it by hand"),
    "a tar.gz cut short": (WHOLE[: len(WHOLE) // 2], "cannot be unpacked safely"),
    "a tar.gz without its last bytes": (WHOLE[:-4], "cannot be unpacked safely"),
    "a tar.gz with a wrong checksum": (WHOLE[:-6] + b"\0" + WHOLE[-5:], "cannot be unpacked safely"),
    "a tar cut between two members": (PLAIN[: (512 + 5120) * 3], "was cut short"),
    "a tar with a damaged header": (PLAIN[: (512 + 5120) * 3] + b"x" * 512 + PLAIN[(512 + 5120) * 3 + 512 :], "damaged at byte"),
    "a zip cut short": (zipped({"set/1.txt": b"one " * 500})[:-30], "cannot be unpacked safely"),
    "a zip with a wrong checksum": (damaged_zip(), "cannot be unpacked safely"),
    "a page": (b"<html>Please log in</html>", "cannot be unpacked safely"),
    "nothing": (b"", "cannot be unpacked safely"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("known", [True, False])
def test_a_broken_archive_is_one_line_and_the_next_run_begins_well(name: str, known: bool, site: Site, tmp_path: Path) -> None:
    body, words = BROKEN[name]
    archive = offer(site, "a.bin", body, **({} if known else {"digest": None, "size": None}))
    refused(archive, tmp_path, words, "Nothing of it is in place", "run again to fetch it anew")
    untouched(tmp_path)
    install(offer(site, "a.bin", zipped({"set/1.txt": b"one"})), tmp_path)
    assert (tmp_path / "SET/set/1.txt").read_bytes() == b"one"


def test_a_broken_archive_that_was_put_there_by_hand_is_kept_aside(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"not it")
    archive = offer(site, "a.bin", zipped({"set/1.txt": b"one"}))
    refused(archive, tmp_path, "kept as", "a.bin.broken")
    assert (tmp_path / "a.bin.broken").read_bytes() == b"not it"
    install(archive, tmp_path)
    assert (tmp_path / "SET/set/1.txt").is_file()


def bomb_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/zeros.bin", bytes(80 << 20))
    return buffer.getvalue()


def many() -> bytes:
    """Many small members, whose headers alone are what grows."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for index in range(1000):
            archive.addfile(tarfile.TarInfo(f"set/{index}"))
    return buffer.getvalue()


def test_an_archive_far_larger_than_declared_is_refused(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pack in (bomb_zip(), tar({"set/zeros.bin": bytes(80 << 20)})):
        refused(offer(site, "a.bin", pack), tmp_path, "far larger than declared")
        untouched(tmp_path)
    monkeypatch.setattr(unpacking, "FLOOR", 100_000)
    refused(offer(site, "a.bin", many()), tmp_path, "far larger than declared")
    monkeypatch.setattr(unpacking, "MEMBERS", 10)
    refused(offer(site, "a.bin", zipped({f"set/{index}": b"" for index in range(20)})), tmp_path, "more than 10 members")
    monkeypatch.undo()
    install(offer(site, "a.bin", bomb_zip(), unpacked=80 << 20), tmp_path)
    assert (tmp_path / "SET/set/zeros.bin").stat().st_size == 80 << 20, "what is declared is believed"


def test_a_disk_that_fills_is_one_line_and_the_archive_is_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = offer(site, "a.bin", WHOLE)

    def full(*words: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(unpacking.shutil, "copyfileobj", full)
        refused(archive, tmp_path, "No space left on device", "BENCH_DATA", "the archive is kept")
    assert {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")} == {"a.bin"}
    install(archive, tmp_path)
    assert len(site.asked) == 1 and len(list((tmp_path / "SET/set").iterdir())) == 8


def test_a_disk_that_fills_while_fetching_leaves_no_part(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = offer(site, "a.bin", np.random.default_rng(4).bytes(300_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        text = refused(archive, tmp_path, "cannot be written", "BENCH_DATA")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "kept" not in text
    untouched(tmp_path)


@pytest.mark.parametrize("key", ["../evil.zip", "/etc/evil.zip", "a/b.zip", "..\\evil.zip", ".hidden.zip", "x\n.zip",
                                 "\x00.zip", "checksums.json.zip" * 20, "~/evil.zip"])  # fmt: skip
def test_a_name_from_a_server_never_leaves_the_data_home(key: str, site: Site, tmp_path: Path) -> None:
    record = {"files": [{"key": key, "size": 1, "checksum": "md5:0", "links": {"self": f"{site.url}/x"}}]}
    site.files["api/records/7"] = json.dumps(record).encode()
    with pytest.raises(DataMissing, match="is no name for a file in the data home") as caught:
        archives.zenodo(7, "set", f"{site.url}/api")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataMissing, match="is no name"):
        install(Archive(f"{site.url}/x", {"": "set"}, label=key), tmp_path / "home")
    assert not (tmp_path / "home").exists() and not list(tmp_path.rglob("*evil*"))


def test_an_address_from_a_server_never_names_a_file_of_this_machine(site: Site) -> None:
    record = {"files": [{"key": "a.zip", "size": 1, "checksum": "md5:0", "links": {"self": "file:///etc/passwd"}}]}
    site.files["api/records/7"] = json.dumps(record).encode()
    with pytest.raises(DataMissing, match="is no web address"):
        archives.zenodo(7, "set", f"{site.url}/api")
    for body in (b"[]", b"{}", b"nothing", b'{"files": [{"key": 1}]}', b'{"files": 3}'):
        site.files["api/records/7"] = body
        with pytest.raises(DataMissing, match="cannot read"):
            archives.zenodo(7, "set", f"{site.url}/api")


def test_an_unknown_digest_is_one_line(site: Site, tmp_path: Path) -> None:
    refused(offer(site, "a.bin", WHOLE, digest="crc32:1234"), tmp_path, "'crc32' is no digest")


def test_places_come_all_or_none(site: Site, tmp_path: Path) -> None:
    archive = offer(site, "a.bin", zipped({"set/1.txt": b"x"}), places={"set": "SET/set", "other": "SET/other"})
    refused(archive, tmp_path, "holds no 'other'")
    untouched(tmp_path)


def test_two_processes_fetch_an_archive_once(site: Site, tmp_path: Path) -> None:
    archive = offer(site, "a.bin", WHOLE)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        list(pool.starmap(install, [(archive, tmp_path)] * 4))
    assert site.asked == [None] and len(list((tmp_path / "SET/set").iterdir())) == 8


def test_a_part_of_another_version_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    """Without a digest, only the server's own word says that the file is still the same one."""
    body = np.random.default_rng(5).bytes(5000)
    archive = offer(site, "a.bin", body, digest=None, size=None)
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    assert fetch(archive, tmp_path).read_bytes() == body
    assert site.asked == [None]


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
