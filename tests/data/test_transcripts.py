"""Transcripts as people have them: which file they are read from, what they say, and faults in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import audio, data
from bench.errors import BenchError
from bench.speech import Dataset, Utterance

NAMES = ("u0", "u1", "u2")
TEXTS = ("HELLO WORLD", 'SECOND, "LINE" | ONE', "THIRD")


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(root / name, np.full(160, 0.1, np.float32), 16000)


@pytest.fixture
def wavs(tmp_path: Path) -> Path:
    make(tmp_path, *(f"wavs/{name}.wav" for name in NAMES))
    return tmp_path


def load(root: Path, **options: Any) -> Dataset:
    return data.load(f"folder:{root}", **options)


def texts(root: Path) -> list[str | None]:
    return [u.text for u in load(root)]


def lines(*rows: tuple[str, ...], mark: str = "\t", end: str = "\n") -> str:
    return "".join(mark.join(row) + end for row in rows)


@pytest.mark.parametrize(
    "ids", ["wavs/{}", "wavs/{}.wav", "{}", "{}.wav", "./wavs/{}.wav", "ROOT/wavs/{}.wav", "/home/else/wavs/{}.wav"]
)
@pytest.mark.parametrize(("start", "end"), [("", "\n"), ("\ufeff", "\r\n"), ("", "\r\n")])
@pytest.mark.parametrize("head", [("id", "text"), ("ID", "Text"), ("File", "TEXT")])
def test_our_own_table(wavs: Path, ids: str, start: str, end: str, head: tuple[str, str]) -> None:
    rows = [(ids.format(name).replace("ROOT", str(wavs)), text) for name, text in zip(NAMES, TEXTS, strict=True)]
    (wavs / "transcripts.tsv").write_bytes((start + lines(head, *rows, end=end)).encode())
    assert texts(wavs) == list(TEXTS)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def hugging_face(root: Path) -> None:
    rows = [(f"wavs/{name}.wav", quoted(text)) for name, text in zip(NAMES, TEXTS, strict=True)]
    (root / "metadata.csv").write_text(lines(("file_name", "transcription"), *rows, mark=","))


def hugging_face_below(root: Path) -> None:
    rows = [(f"{name}.wav", quoted(text)) for name, text in zip(NAMES, TEXTS, strict=True)]
    (root / "wavs" / "metadata.csv").write_text(lines(("file_name", "text"), *rows, mark=","))


def hugging_face_jsonl(root: Path) -> None:
    rows = [{"file_name": f"wavs/{name}.wav", "sentence": text} for name, text in zip(NAMES, TEXTS, strict=True)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def kaldi(root: Path) -> None:
    (root / "wav.scp").write_text(lines(*((f"spk-{n}", f"/corpora/x/wavs/{n}.wav") for n in NAMES), mark=" "))
    (root / "text").write_text(lines(*((f"spk-{n}", text) for n, text in zip(NAMES, TEXTS, strict=True)), mark=" "))


def kaldi_commands(root: Path) -> None:
    kaldi(root)
    (root / "wav.scp").write_text(lines(*((f"spk-{n}", f"sox /x/wavs/{n}.wav -t wav - |") for n in NAMES), mark=" "))


def nemo(root: Path) -> None:
    rows = [{"audio_filepath": f"/a/b/wavs/{n}.wav", "duration": 1.0, "text": t} for n, t in zip(NAMES, TEXTS, strict=True)]
    (root / "manifest.json").write_text("\n".join(map(json.dumps, rows)) + "\n")


def lhotse_cuts(root: Path) -> None:
    rows = [
        {"id": f"{n}-0", "start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut",
         "supervisions": [{"id": n, "recording_id": n, "start": 0, "text": t, "speaker": "s", "language": "English"}],
         "recording": {"id": n, "sources": [{"type": "file", "channels": [0], "source": f"wavs/{n}.wav"}]}}
        for n, t in zip(NAMES, TEXTS, strict=True)
    ]  # fmt: skip
    (root / "cuts.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def lhotse_supervisions(root: Path) -> None:
    rows = [
        {"id": f"sup-{n}", "recording_id": n, "start": 0.0, "duration": 1, "text": t} for n, t in zip(NAMES, TEXTS, strict=True)
    ]
    (root / "supervisions.jsonl").write_text("\n".join(map(json.dumps, rows)))


def speechbrain(root: Path) -> None:
    rows = {n: {"wav": "{root}/wavs/" + n + ".wav", "words": t, "spk_id": "1"} for n, t in zip(NAMES, TEXTS, strict=True)}
    (root / "test.json").write_text(json.dumps(rows))


def common_voice(root: Path) -> None:
    head = ("client_id", "path", "sentence", "up_votes", "age", "gender", "accents", "locale", "segment")
    rows = [
        ("abc", f"{n}.mp3" if n == "u9" else f"{n}.wav", t, "2", "", "male", "", "en", "")
        for n, t in zip(NAMES, TEXTS, strict=True)
    ]
    (root / "test.tsv").write_text(lines(head, *rows))


@pytest.mark.parametrize("ending", [".txt", ".lab", ".normalized.txt"])
def test_texts_beside_the_audio(wavs: Path, ending: str) -> None:
    for name, text in zip(NAMES, TEXTS, strict=True):
        (wavs / "wavs" / f"{name}{ending}").write_bytes(f"\ufeff{text}\r\n".encode())
    assert texts(wavs) == list(TEXTS)


def librispeech_list(root: Path) -> None:
    (root / "wavs" / "1-2.trans.txt").write_text(lines(*zip(NAMES, TEXTS, strict=True), mark=" "))


FORMS = (hugging_face, hugging_face_below, hugging_face_jsonl, kaldi, kaldi_commands, nemo, lhotse_cuts, lhotse_supervisions,
         speechbrain, common_voice, librispeech_list)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_other_tools(wavs: Path, form: Any) -> None:
    form(wavs)
    assert texts(wavs) == list(TEXTS)
    assert not any("not used" in note for note in load(wavs).notes)


def test_ljspeech_and_lists_for_synthesizers(wavs: Path) -> None:
    (wavs / "metadata.csv").write_text(lines(*((n, "Dr. X", "doctor ex") for n in NAMES), mark="|"))
    assert texts(wavs) == ["doctor ex"] * 3, "the third field is the normalised text"
    (wavs / "metadata.csv").write_text(lines(*((f"wavs/{n}.wav", "a text of words") for n in NAMES), mark="|"))
    assert texts(wavs) == ["a text of words"] * 3
    (wavs / "metadata.csv").write_text(lines(*((f"wavs/{n}.wav", "12", "a text of words") for n in NAMES), mark="|"))
    assert [(u.text, u.speaker) for u in load(wavs)] == [("a text of words", "12")] * 3


def test_what_tables_say_of_speakers_languages_and_genders(wavs: Path) -> None:
    kaldi(wavs)
    (wavs / "utt2spk").write_text(lines(*((f"spk-{n}", f"s{n}") for n in NAMES), mark=" "))
    (wavs / "utt2lang").write_text(lines(*((f"spk-{n}", "deu") for n in NAMES), mark=" "))
    (wavs / "spk2gender").write_text("su0 f\nsu1 m\nsu2 f\n")
    found = load(wavs)
    assert [(u.speaker, u.language, u.gender) for u in found] == [
        ("su0", "de", "female"),
        ("su1", "de", "male"),
        ("su2", "de", "female"),
    ]
    assert found.notes == ()


@pytest.mark.parametrize("name", ["en", "EN", "en_US", "en_us", "en-US", "eng", "English", "english"])
def test_every_name_of_a_language(wavs: Path, name: str) -> None:
    (wavs / "transcripts.tsv").write_text(lines(("id", "language"), *((n, name) for n in NAMES)))
    assert {u.language.partition("-")[0] for u in load(wavs)} == {"en"}
    assert not any("language" in note for note in load(wavs).notes)


def test_a_language_that_nobody_knows_is_named_with_its_line(wavs: Path) -> None:
    (wavs / "transcripts.tsv").write_text(lines(("id", "language"), ("u0", "en"), ("u1", "Englsh")))
    with pytest.raises(BenchError, match=r"transcripts.tsv:3: unknown language 'Englsh'.*english"):
        load(wavs)


def test_what_is_taken_for_granted_is_told(wavs: Path) -> None:
    one, unsaid = load(wavs).notes
    assert "all 3 utterances count as one speaker, 'unknown'" in one
    assert unsaid.startswith("no language is said of all utterances") and "LANGUAGE=de" in unsaid
    (wavs / "transcripts.tsv").write_text(lines(("id", "language", "speaker"), ("u0", "de", "a"), ("u1", "", "b")))
    (note,) = load(wavs).notes
    assert note.startswith("no language is said of 2 of 3 utterances")
    german = load(wavs, language="German")
    assert [u.language for u in german] == ["de", "de", "de"] and german.notes == ()
    with pytest.raises(BenchError, match="says itself what is spoken"):
        data.load("embedded", language="de")


def test_speakers_from_folders(tmp_path: Path) -> None:
    make(tmp_path, "anna/wavs/a.wav", "ben/b.wav", "wavs/c.wav", "data/train/dora/d.wav")
    assert {u.id: u.speaker for u in load(tmp_path)} == {
        "anna/wavs/a": "anna", "ben/b": "ben", "wavs/c": "unknown", "data/train/dora/d": "dora",
    }  # fmt: skip


def note(root: Path) -> str:
    return next(note for note in load(root).notes if "not used" in note)


def test_what_was_seen_and_not_used_is_told(wavs: Path) -> None:
    (wavs / "transcripts.tsv").write_text(lines(("id", "text"), ("u0", "a")))
    hugging_face(wavs)
    (wavs / "wavs" / "u1.TextGrid").write_text("File type")
    (wavs / "config.json").write_text("{}")
    (wavs / "README.txt").write_text("read me")
    assert texts(wavs) == ["a", None, None], "our own table alone counts where it is"
    told = note(wavs)
    assert "config.json" in told and "metadata.csv" in told and "u1.TextGrid" in told and "README" not in told
    assert "transcripts.tsv" in told.partition("(")[2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,transcription\nx9.wav,hello\n"), ("notes.txt", "some words\n"), ("text", "nobody hello\n"),
        ("manifest.json", '{"audio_filepath": "x9.wav", "text": "a"}\n'), ("segments", "u u0 0 1\n"),
        ("ids.tsv", "id\tx\nu0\t1\n"),
    ],
)  # fmt: skip
def test_tables_that_say_nothing_of_these_files_are_told(wavs: Path, name: str, content: str) -> None:
    (wavs / name).write_text(content)
    assert texts(wavs) == [None] * 3 and name in note(wavs)


def test_lines_of_another_tools_table_without_audio_are_counted(wavs: Path) -> None:
    (wavs / "metadata.csv").write_text("file_name,text\nwavs/u0.wav,a\nwavs/u9.wav,b\n")
    assert any("metadata.csv: 1 of its 2 lines name no file here, 'wavs/u9.wav' first" in note for note in load(wavs).notes)


def test_a_name_that_two_files_have_is_nobodys(tmp_path: Path) -> None:
    make(tmp_path, "a/x.wav", "b/x.wav", "b/y.wav")
    (tmp_path / "metadata.csv").write_text("file_name,text\nx.wav,which\ny.wav,this\n")
    assert texts(tmp_path) == [None, None, "this"]


def test_a_folder_of_lists_alone_stands_for_the_files_it_names(tmp_path: Path) -> None:
    make(tmp_path / "corpus", "s1/u0.wav", "s2/u1.wav")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "wav.scp").write_text("".join(f"k{n} {tmp_path}/corpus/s{n + 1}/u{n}.wav\n" for n in range(2)))
    (lists / "text").write_text("k0 hello\nk1 you\n")
    assert [(u.text, u.speaker) for u in load(lists)] == [("hello", "s1"), ("you", "s2")]


def test_an_alignment_is_no_text(wavs: Path) -> None:
    (wavs / "wavs" / "u0.lab").write_text("0 1000 sil\n1000 2000 h\n")
    assert texts(wavs)[0] is None and "u0.lab" in note(wavs)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id\ttext\nu0\tcaf\xe9\n".encode("latin-1"), r"transcripts.tsv:2: byte 0xe9 is no UTF-8.*iconv"),
        ("id\ttext\nu0\ta\n".encode("utf-16"), "transcripts.tsv: is UTF-16.*iconv"),
        ("id\ttext\nu0\ta\n".encode("utf-16-le"), "transcripts.tsv: holds zero bytes.*iconv"),
        (b"id\ttext\nu0\t" + b"a" * 200_000 + b"\n", "transcripts.tsv:2: a field has more than 131,072 characters"),
        (b"id\ttext\nu0\ta\n\tb\n", "transcripts.tsv:3: the id is empty"),
        (b"id\ttext\nu0\ta\n  \tb\n", "transcripts.tsv:3: the id is empty"),
        (b"id\ttext\nu0\ta\nwavs/u0.wav\tb\n", "transcripts.tsv:3: 'wavs/u0.wav' comes twice"),
        (b"id,text\nu0,a\n", "separated by tabs"), (b"", "the first line must name the columns"),
    ],
)  # fmt: skip
def test_faults_are_one_line(wavs: Path, content: bytes, told: str) -> None:
    (wavs / "transcripts.tsv").write_bytes(content)
    with pytest.raises(BenchError, match=told) as caught:
        load(wavs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metadata.csv", "file_name,text\nwavs/u0.wav,caf\xe9\n".encode("latin-1"), "metadata.csv:2: byte 0xe9"),
        ("metadata.csv", b'file_name,text\nwavs/u0.wav,"' + b"a," * 100_000 + b"\n", "metadata.csv:2: a field has more"),
        ("text", "u0 caf\xe9\n".encode("latin-1"), "text:1: byte 0xe9"),
        ("wavs/u0.txt", "caf\xe9".encode("latin-1"), "u0.txt:1: byte"),
        ("cuts.jsonl", b'{"audio_filepath": "u0.wav", "text": "a"}\n{"audio', "cuts.jsonl:2: is no JSON"),
        ("cuts.jsonl.gz", b"no gzip", "is no whole gzip file"),
    ],
)  # fmt: skip
def test_faults_of_other_tables_are_one_line(wavs: Path, name: str, content: bytes, told: str) -> None:
    (wavs / name).write_bytes(content)
    with pytest.raises(BenchError, match=told) as caught:
        load(wavs)
    assert "\n" not in str(caught.value)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/deep/a.wav", "mine/b.wav", "mine/sub/c.wav")
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine" / "again").symlink_to(tmp_path / "mine" / "sub")
    (tmp_path / "mine" / "up").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "top").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "mine")
    found: dict[str, Utterance] = {u.id: u for u in load(tmp_path / "mine")}
    assert list(found) == ["b", "linked/deep/a", "sub/c"]
    (tmp_path / "mine" / "twice").symlink_to(tmp_path / "elsewhere")
    assert len(load(tmp_path / "mine")) == 3, "a folder that two links lead to is read once"
    (tmp_path / "whole").symlink_to(tmp_path / "mine")
    assert next(iter(load(tmp_path / "whole"))).id == "b"
