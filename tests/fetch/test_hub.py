"""Weights from a hub: huggingface_hub's real code against a hub in a box, for every codec and metric that uses one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import cards, provenance
from bench.fetch import hub
from bench.fetch.download import FetchFailed
from tests.fetch import repositories
from tests.fetch.hub_in_a_box import COMMIT, TOKEN, Box, Repository, served

ROOT = Path(__file__).resolve().parents[2]
NAMES = [*repositories.CODECS, *repositories.METRICS, "utmos"]


class User:
    """Somebody with a home of their own, whose hub is the box."""

    def __init__(self, home: Path, box: Box) -> None:
        self.home, self.box = home, box
        home.mkdir(parents=True, exist_ok=True)
        self.said = ""

    def run(self, *names: str, **environment: str) -> dict[str, Any]:
        """What came out for each name; `said` is what the process wrote to stderr."""
        out = self.home / "out.json"
        out.unlink(missing_ok=True)
        done = self.python("-m", "tests.fetch.box_client", str(out), self.box.url, *names, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text())

    def python(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"HOME": str(self.home), "BENCH_CACHE": str(self.home / "cache"), "HF_HOME": str(self.home / "hf"),
               "HF_ENDPOINT": self.box.url, "BENCH_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "BENCH_"))}
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=kept | own | environment, capture_output=True, text=True, timeout=600
        )
        self.said = done.stderr
        return done


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("box")
    with served() as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.metrics.networks.utmos.LAYERS", 12)  # put back what the next line changes
        repositories.utmos(folder / "utmos.pt")
        made.files["utmos.pt"] = folder / "utmos.pt"
        for name, held in repositories.CODECS.items():
            table = cards.resolve(name).weights["official"]
            made.repositories[table["repo"]] = _hold(folder, table["repo"], held.write, table.get("revision") or COMMIT)
            made.repositories[table["repo"]].gated = 401 if table.get("gated") else 0
        for repo, write in [*repositories.METRICS.values(), *repositories.BESIDE.items()]:
            made.repositories[repo] = _hold(folder, repo, write)
        yield made


def _hold(base: Path, repo: str, write: repositories.Write, commit: str = COMMIT) -> Repository:
    folder = base / repo
    folder.mkdir(parents=True)
    write(folder)
    return Repository(folder, commit)


@pytest.fixture(scope="module")
def fetched(box: Box, tmp_path_factory: pytest.TempPathFactory) -> tuple[User, dict[str, Any]]:
    """A user who has fetched everything once."""
    user = User(tmp_path_factory.mktemp("user"), box)
    return user, user.run(*NAMES, HF_TOKEN=TOKEN)


@pytest.mark.parametrize("name", NAMES)
def test_a_first_run_fetches_loads_and_runs(name: str, fetched: tuple[User, dict[str, Any]]) -> None:
    found = fetched[1][name]
    assert "error" not in found, found
    if name in repositories.CODECS:
        assert found["samples"] and len(found["digest"]) == 64


def test_every_codec_on_a_hub_is_tried() -> None:
    """A new card with weights on a hub gets its line in `repositories.CODECS`."""
    wanted = set()
    for point in cards.all_points():
        lacking = any(provenance.package_version(package) == "absent" for package in point.packages)
        table = point.weights.get("official", {})
        if table.get("repo") and table.get("files") and not lacking and not point.needs_environment:
            wanted.add(point.family)
    assert wanted <= {cards.resolve(name).family for name in repositories.CODECS}


def test_a_second_run_needs_no_network_and_gives_the_same(fetched: tuple[User, dict[str, Any]], box: Box) -> None:
    user, first = fetched
    before = len(box.asked)
    assert user.run(*NAMES, BENCH_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9") == first
    assert len(box.asked) == before


def test_what_was_seen_first_is_recorded_and_told(fetched: tuple[User, dict[str, Any]], box: Box) -> None:
    user, first = fetched
    record = json.loads((user.home / "cache/recorded/lucadellalib--focalcodec_50hz.json").read_text())
    assert record["commit"] == COMMIT and len(record[f"{COMMIT}/model.safetensors"]) == 64
    assert first["focalcodec@50"]["source"] == f"hub lucadellalib/focalcodec_50hz@{COMMIT}"
    pinned = cards.resolve("dac@1").weights["official"]["revision"]
    assert first["dac@1"]["source"] == f"hub descript/dac_16khz@{pinned}"
    assert not [request for request, _ in box.asked if "descript/dac_16khz/resolve/main" in request]


def test_a_commit_seen_first_stays_though_the_hub_moves_on(box: Box, tmp_path: Path) -> None:
    user = User(tmp_path, box)
    first = user.run("fetch:bigcodec")["fetch:bigcodec"]
    assert "is asked for without a commit" in user.said and COMMIT in user.said
    repository = box.repositories["Alethia/BigCodec"]
    repository.commit = "f" * 40
    try:
        assert user.run("fetch:bigcodec")["fetch:bigcodec"] == first
    finally:
        repository.commit = COMMIT


def test_a_download_that_is_cut_goes_on(box: Box, tmp_path: Path) -> None:
    # The hub's client writes in pieces of 10 MiB: what it has got before the cut is not asked for again.
    name, before = "pytorch_model.bin", len(box.fetched("pytorch_model.bin"))
    box.cut[name] = 40_000_000
    assert "error" not in User(tmp_path, box).run("fetch:sim")["fetch:sim"]
    first, second = box.fetched(name)[before:]
    assert first is None and second is not None and 10_000_000 < int(second[6:-1]) <= 40_000_000


def test_a_changed_file_is_refused_and_not_kept(box: Box, tmp_path: Path) -> None:
    user, name = User(tmp_path, box), "fetch:bigcodec"
    user.run(name)
    repository = box.repositories["Alethia/BigCodec"]
    path = next(repository.folder.glob("*.pt"))
    good = path.read_bytes()
    cached = next(path for path in (tmp_path / "hf").rglob("*.pt") if path.is_symlink())
    try:
        cached.resolve().unlink()
        cached.unlink()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        refused = user.run(name)[name]
        assert refused["kind"] == "WeightsInvalid" and "another file for this commit" in refused["error"]
    finally:
        path.write_bytes(good)
    assert "error" not in user.run(name)[name], "the wrong file was forgotten, so the next run begins well"
    spoilt = next(path for path in (tmp_path / "hf").rglob("*.pt") if path.is_symlink()).resolve()
    spoilt.write_bytes(good[:1000])
    assert "changed or cut short: delete it" in user.run(name, BENCH_OFFLINE="1")[name]["error"]


def test_a_pinned_file_that_is_another_one_is_refused(fetched: tuple[User, dict[str, Any]], box: Box, tmp_path: Path) -> None:
    refused = User(tmp_path, box).run("utmos:pinned")["utmos:pinned"]
    assert refused["kind"] == "WeightsInvalid" and "gives another file than expected" in refused["error"]
    assert not list((tmp_path / "cache").rglob("utmos22*"))


def one_line(found: dict[str, Any], *words: str) -> None:
    assert "\n" not in found["error"] and all(word in found["error"] for word in words), found["error"]


def test_what_cannot_be_had_is_one_line_with_its_cure(box: Box, tmp_path: Path) -> None:
    user, name, repo = User(tmp_path, box), "fetch:bigcodec", "Alethia/BigCodec"
    held = box.repositories.pop(repo)
    try:
        one_line(user.run(name)[name], f"no repository {box.url}/{repo}, or it is private", "HF_TOKEN", "WEIGHTS=")
        for status in (401, 403):
            box.repositories[repo] = Repository(held.folder, gated=status)
            one_line(user.run(name)[name], f"{repo} is gated: open {box.url}/{repo}, accept its licence", "HF_TOKEN")
        one_line(user.run(name, HF_TOKEN="hf_of_a_stranger")[name], "is gated")
        one_line(user.run(name, BENCH_OFFLINE="1")[name], "forbids the network")
        one_line(user.run(name, HF_HUB_OFFLINE="1")[name], "forbids the network")
        (tmp_path / "nothing").mkdir()
        box.repositories[repo] = Repository(tmp_path / "nothing")
        one_line(user.run(name)[name], f"{repo} has no file")
        box.repositories[repo] = Repository(held.folder, gated=403)
        assert "error" not in user.run(name, HF_TOKEN=TOKEN)[name]
    finally:
        box.repositories[repo] = held


def test_for_every_codec_a_licence_to_accept_is_one_line_with_its_page(box: Box, tmp_path: Path) -> None:
    tables = {name: cards.resolve(name).weights["official"] for name in repositories.CODECS}
    held = {table["repo"]: box.repositories[table["repo"]] for table in tables.values()}
    try:
        for repo, good in held.items():
            box.repositories[repo] = Repository(good.folder, good.commit, gated=403)
        said = User(tmp_path, box).run(*(f"fetch:{name}" for name in tables))
        for name, table in tables.items():
            repo = table["repo"]
            one_line(said[f"fetch:{name}"], f"{repo} is gated: open {box.url}/{repo}, accept its licence", "HF_TOKEN")
    finally:
        box.repositories.update(held)


def test_for_every_codec_a_checkpoint_of_another_size_is_one_line_with_its_place(box: Box, tmp_path: Path) -> None:
    """Every matrix of every file has one row more than the network asks for: nothing is cut, filled or left out in silence."""
    repos = {name: cards.resolve(name).weights["official"]["repo"] for name in repositories.CODECS}
    held = {repo: box.repositories[repo] for repo in repos.values()}
    try:
        for repo, good in held.items():
            larger = tmp_path / "larger" / repo
            shutil.copytree(good.folder, larger)
            repositories.enlarge(larger)
            box.repositories[repo] = Repository(larger, good.commit)
        said = User(tmp_path, box).run(*repos, HF_TOKEN=TOKEN)
        wrong = {}
        for name, repo in repos.items():
            told, names = said[name].get("error", ""), {path.name for path in held[repo].folder.rglob("*")}
            named = name.partition("@")[0] in told or repo in told or any(one in told for one in names)
            if not (told and "\n" not in told and named and said[name]["kind"] == "WeightsInvalid"):
                wrong[name] = said[name]
        assert not wrong
    finally:
        box.repositories.update(held)


def test_a_commit_that_the_hub_has_lost_is_told_with_the_record(box: Box, tmp_path: Path) -> None:
    user, name = User(tmp_path, box), "fetch:bigcodec"
    (tmp_path / "cache/recorded").mkdir(parents=True)
    record = tmp_path / "cache/recorded/Alethia--BigCodec.json"
    record.write_text(json.dumps({"commit": "e" * 40}))
    one_line(user.run(name)[name], "has no revision eeee", str(record), "delete that file")
    record.write_text("{")
    one_line(user.run(name)[name], f"{record} is damaged", "delete it")


def test_a_hub_whose_name_is_not_known_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_reachable", lambda endpoint: False)
    with pytest.raises(FetchFailed, match=r"some/body/x\.bin is not in the hub's cache and .* cannot be reached"):
        hub.snapshot("some/body", ["x.bin"])
