"""Loaders on the layouts of the releases: small trees made here, and excerpts of the real corpora where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.errors import BenchError, DataMissing, UnknownName


def make(path: Path, rate: int = 16000, seconds: float = 0.1, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, level * np.ones(int(rate * seconds), np.float32), rate)
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_librispeech_layout(tmp_path: Path) -> None:
    root = tmp_path / "LibriSpeech"
    for name in ("test-clean/61/70968/61-70968-0000", "test-clean/61/70968/61-70968-0001", "test-other/7/8/7-8-0000"):
        make(root / f"{name}.flac")
    write(root / "test-clean/61/70968/61-70968.trans.txt", "61-70968-0000 HE BEGAN A CONFUSED COMPLAINT\n")
    write(root / "SPEAKERS.TXT", ";ID|SEX\n61   | M | test-clean | 8.08 | A Name\n7 | F | test-other | 8 | B\n")
    speech = data.load(f"librispeech:{tmp_path}#test-clean")
    assert [u.id for u in speech] == ["61-70968-0000", "61-70968-0001"]
    assert [u.text for u in speech] == ["HE BEGAN A CONFUSED COMPLAINT", None]
    assert {u.gender for u in speech} == {"male"}
    assert data.load(f"librispeech:{root}#test-other").speakers == ("7",)
    assert len(data.load(f"librispeech:{tmp_path}")) == 3
    with pytest.raises(DataMissing, match="dev-clean") as caught:
        data.load(f"librispeech:{tmp_path}#dev-clean")
    assert str(root) in str(caught.value)
    with pytest.raises(UnknownName, match="test-clean"):
        data.load(f"librispeech:{tmp_path}#test-claen")


def test_the_list_hash_does_not_depend_on_where_the_files_lie(tmp_path: Path) -> None:
    for place in ("a", "b/c"):
        make(tmp_path / place / "LibriSpeech/test-clean/1/2/1-2-0000.flac")
    one, two = (data.load(f"librispeech:{tmp_path / place}#test-clean") for place in ("a", "b/c"))
    assert one.sha256 == two.sha256
    assert one.name == two.name == "librispeech#test-clean"


def test_vctk_layout(tmp_path: Path) -> None:
    for name in ("p225/p225_001_mic1", "p225/p225_001_mic2", "p225/p225_030_mic1", "s5/s5_001_mic1", "p315/p315_002_mic1"):
        make(tmp_path / "wav48_silence_trimmed" / f"{name}.flac", rate=48000)
    write(tmp_path / "txt/p225/p225_001.txt", "Please call Stella.\n")
    write(tmp_path / "speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION\np225  23  F    English    Southern  England\n")
    speech = data.load(f"vctk:{tmp_path}")
    assert [u.id for u in speech] == ["p225_001", "p225_030", "p315_002", "s5_001"]
    first = speech.utterances[0]
    assert (first.text, first.gender, first.accent, first.path.stem) == (
        "Please call Stella.", "female", "English", "p225_001_mic1")  # fmt: skip
    assert [u.id for u in data.load(f"vctk:{tmp_path}#parallel+p225")] == ["p225_001"]
    assert [u.path.stem for u in data.load(f"vctk:{tmp_path}#mic2")] == ["p225_001_mic2"]
    with pytest.raises(UnknownName, match="p225"):
        data.load(f"vctk:{tmp_path}#p226")


def test_voicebank_hears_the_noisy_file_and_refers_to_the_clean_one(tmp_path: Path) -> None:
    root = tmp_path / "VoiceBank"
    for name in ("p232_001", "p257_002"):
        make(root / "noisy_testset_wav" / f"{name}.wav", 48000, level=0.3)
        make(root / "clean_testset_wav" / f"{name}.wav", 48000, level=0.1)
    write(root / "testset_txt/p232_001.txt", "Please call Stella.")
    speech = data.load(f"voicebank:{tmp_path}")
    u = speech.utterances[0]
    assert speech.condition == "noisy"
    assert (u.id, u.speaker, u.text) == ("p232_001", "p232", "Please call Stella.")
    assert float(u.read()[0][0]) == pytest.approx(0.3, abs=1e-3)
    assert float(u.read_reference()[0][0]) == pytest.approx(0.1, abs=1e-3)
    assert all(u.reference is None for u in data.load(f"voicebank:{tmp_path}#clean"))
    (root / "clean_testset_wav" / "p257_002.wav").unlink()
    with pytest.raises(DataMissing, match="p257_002"):
        data.load(f"voicebank:{tmp_path}")


@pytest.mark.parametrize(("name", "folder"), [("mls", "MLS"), ("minimls", "MiniMLS")])
def test_mls_layout(name: str, folder: str, tmp_path: Path) -> None:
    test = tmp_path / folder / "mls_polish" / "test"
    make(test / "audio/6892/10049/6892_10049_000000.flac")
    write(test / "transcripts.txt", "6892_10049_000000\tzamek był pusty\n")
    make(tmp_path / folder / "mls_dutch/test/audio/1/2/1_2_000003.flac")
    speech = data.load(f"{name}:{tmp_path}")
    assert [(u.id, u.language) for u in speech] == [("dutch_1_2_000003", "nl"), ("polish_6892_10049_000000", "pl")]
    assert data.load(f"{name}:{tmp_path / folder}#pl").utterances[0].text == "zamek był pusty"
    with pytest.raises(DataMissing, match="mls_french"):
        data.load(f"{name}:{tmp_path}#french")


def mixtures(root: Path, parts: tuple[str, ...]) -> str:
    name = "61-70968-0000_121-121726-0001"
    for part in parts:
        make(root / "wav16k/min/test" / part / f"{name}.wav")
    return name


def test_librimix_layouts(tmp_path: Path) -> None:
    name = mixtures(tmp_path / "Libri2Mix", ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise"))
    write(tmp_path / "LibriSpeech/test-clean/61/70968/61-70968.trans.txt", "61-70968-0000 HE BEGAN\n")
    two = data.load(f"libri2mix:{tmp_path}").utterances[0]
    assert (two.id, two.reference, two.extra["speakers"]) == (name, None, ["61", "121"])
    assert [path.parent.name for path in two.extra["sources"]] == ["s1", "s2"]
    assert two.extra["texts"] == ["HE BEGAN", None]
    # Without Libri1Mix of its own, its content is the single mixture of Libri2Mix.
    one = data.load(f"libri1mix:{tmp_path}").utterances[0]
    assert (one.path.parent.name, one.reference and one.reference.parent.name) == ("mix_single", "s1")
    assert one.text == "HE BEGAN"
    mixtures(tmp_path / "Libri1Mix", ("mix_both", "s1"))
    assert data.load(f"libri1mix:{tmp_path}").utterances[0].path.parent.name == "mix_both"
    with pytest.raises(DataMissing, match="JorisCos/LibriMix"):
        data.load(f"libri1mix:{tmp_path}#mix_clean")


def test_fleurs_release_layout(tmp_path: Path) -> None:
    make(tmp_path / "pl_pl/audio/test/123.wav")
    write(
        tmp_path / "pl_pl/test.tsv",
        ("7\t123.wav\tZamek był pusty.\tzamek był pusty\tz a\t1600\tFEMALE\n8\tgone.wav\tx\tx\tx\t1\tMALE\n"),
    )
    speech = data.load(f"fleurs:{tmp_path}")
    assert [(u.text, u.language, u.gender) for u in speech] == [("Zamek był pusty.", "pl", "female")]
    with pytest.raises(UnknownName, match=r"subset of fleurs 'pl'. Did you mean: pl_pl"):
        data.load(f"fleurs:{tmp_path}#pl")


def test_fsdd_layout(tmp_path: Path) -> None:
    for name in ("7_theo_4", "7_theo_5", "0_jackson_49"):
        make(tmp_path / "recordings" / f"{name}.wav", 8000)
    assert [u.id for u in data.load(f"fsdd:{tmp_path}#test")] == ["7_theo_4"]
    speech = data.load(f"fsdd:{tmp_path}")
    assert [(u.text, u.speaker) for u in speech] == [("zero", "jackson"), ("seven", "theo"), ("seven", "theo")]


def test_ravdess_layout(tmp_path: Path) -> None:
    make(tmp_path / "Actor_02/03-01-05-02-01-01-02.wav", 48000)
    make(tmp_path / "Actor_02/03-02-05-02-01-01-02.wav", 48000)  # song, not speech
    (u,) = data.load(f"ravdess:{tmp_path}")
    assert (u.speaker, u.gender, u.emotion, u.extra["intensity"]) == ("actor_02", "female", "angry", "strong")
    assert u.text == "Kids are talking by the door"
    assert "NC" in str(u.licence)


def test_vctk_of_release_0_80_and_names_without_microphone(tmp_path: Path) -> None:
    for name in ("p225/p225_001.wav", "p225/p225_002.wav", "p226/p226_001.wav"):
        make(tmp_path / "VCTK-Corpus" / "wav48" / name, rate=48000)
    write(tmp_path / "VCTK-Corpus/txt/p225/p225_001.txt", "Please call Stella.\n")
    speech = data.load(f"vctk:{tmp_path}")
    assert [(u.id, u.text) for u in speech] == [("p225_001", "Please call Stella."), ("p225_002", None), ("p226_001", None)]
    assert len(data.load(f"vctk:{tmp_path}#p226")) == 1
    with pytest.raises(DataMissing, match=r"nothing chosen in .*wav48, which holds 3 files of mic1"):
        data.load(f"vctk:{tmp_path}#mic2")
    for name in ("p225_001", "p225_001_mic1", "p225_003"):
        make(tmp_path / "new" / "wav48_silence_trimmed" / "p225" / f"{name}.flac")
    assert [u.path.stem for u in data.load(f"vctk:{tmp_path / 'new'}")] == ["p225_001_mic1", "p225_003"]


@pytest.mark.parametrize("folder", ["", "Actor_01/", "audio_speech_actors_01-24/Actor_01/", "Audio_Speech_Actors/Actor_01/"])
def test_ravdess_wherever_its_files_lie(folder: str, tmp_path: Path) -> None:
    for name in ("03-01-05-02-01-01-01", "03-01-01-01-02-01-01", "01-01-05-02-01-01-01", "03-02-05-02-01-01-01"):
        make(tmp_path / f"{folder}{name}.wav", 48000)
    speech = data.load(f"ravdess:{tmp_path}")
    assert [(u.id, u.emotion) for u in speech] == [("03-01-01-01-02-01-01", "neutral"), ("03-01-05-02-01-01-01", "angry")]
    assert speech.notes == ("left out: 1 of the kind 01-01, 1 of the kind 03-02 (modality-channel; 03-01 is speech as audio)",)


def test_ravdess_counts_a_copied_folder_once_and_names_what_it_found(tmp_path: Path) -> None:
    for folder in ("Actor_01", "audio_speech_actors_01-24/Actor_01"):
        make(tmp_path / folder / "03-01-05-02-01-01-01.wav", 48000)
    assert len(data.load(f"ravdess:{tmp_path}")) == 1
    with pytest.raises(DataMissing, match="which holds actor_01, angry"):
        data.load(f"ravdess:{tmp_path}#happy")
    make(tmp_path / "songs" / "03-02-05-02-01-01-01.wav", 48000)
    with pytest.raises(DataMissing, match="which holds 1 files of the kind 03-02"):
        data.load(f"ravdess:{tmp_path / 'songs'}")


def test_iemocap_layout(tmp_path: Path) -> None:
    session = tmp_path / "Session1"
    for name in ("Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses01F_impro01_M001"):
        make(session / "sentences/wav/Ses01F_impro01" / f"{name}.wav")
    write(session / "dialog/EmoEvaluation/Ses01F_impro01.txt", (
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n\n"
        "[10.0 - 11.1]\tSes01F_impro01_M000\texc\t[4.0000, 4.0000, 2.5000]\n\n"
        "[12.0 - 13.1]\tSes01F_impro01_M001\tang\t[1.5000, 4.0000, 4.5000]\n"))  # fmt: skip
    write(session / "dialog/transcriptions/Ses01F_impro01.txt", "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n")
    speech = data.load(f"iemocap:{tmp_path}#session1")
    assert [(u.speaker, u.emotion, u.gender) for u in speech] == [("Ses01F", "neutral", "female"), ("Ses01M", "angry", "male")]
    assert speech.utterances[0].text == "Excuse me."
    assert speech.utterances[1].extra["activation"] == 4.0
    assert len(data.load(f"iemocap:{tmp_path}#session1+all")) == 3
    with pytest.raises(DataMissing, match="Session2"):
        data.load(f"iemocap:{tmp_path}")


def test_folder(tmp_path: Path) -> None:
    for name in ("b/two.wav", "a/one.flac", "three.wav", ".trash/four.wav"):
        make(tmp_path / name)
    speech = data.load(f"folder:{tmp_path}")
    assert [(u.id, u.speaker, u.text) for u in speech] == [("a/one", "a", None), ("b/two", "b", None), ("three", "unknown", None)]
    write(tmp_path / "transcripts.tsv", 'id\ttext\tspeaker\tlanguage\na/one\tEins, "zwei".\tAnna\tde\n')
    u = data.load(f"folder:{tmp_path}").utterances[0]
    assert (u.text, u.speaker, u.language) == ('Eins, "zwei".', "Anna", "de")
    assert [u.id for u in data.load(f"folder:{tmp_path}#b")] == ["b/two"]


def test_folder_with_references_of_its_own(tmp_path: Path) -> None:
    make(tmp_path / "in/x.wav", level=0.3)
    make(tmp_path / "clean/x.wav", level=0.1)
    write(tmp_path / "transcripts.tsv", "file\treference\nin/x.wav\tclean/x.wav\n")
    speech = data.load(f"folder:{tmp_path}#in")
    assert float(speech.utterances[0].read_reference()[0][0]) == pytest.approx(0.1, abs=1e-3)
    assert speech.condition == "paired"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id\ttxt\none\thello\n", "text"),
        ("text\nhello\n", "`id` or `file`"),
        ("id\ttext\nnine\thello\n", "nine"),
        ("id\ttext\none\thello\none\tagain\n", "twice"),
        ("id\ttext\none\thello\tagain\n", "tabs"),
        ("id\treference\none\tgone.wav\n", "gone.wav"),
    ],
)
def test_folder_table_faults_are_named(table: str, message: str, tmp_path: Path) -> None:
    make(tmp_path / "one.wav")
    write(tmp_path / "transcripts.tsv", table)
    with pytest.raises(BenchError, match=message):
        data.load(f"folder:{tmp_path}")


def test_folder_faults(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no audio files"):
        data.load(f"folder:{tmp_path}")
    with pytest.raises(DataMissing, match="no such folder"):
        data.load(f"folder:{tmp_path / 'gone'}")
    with pytest.raises(DataMissing, match="needs a path"):
        data.load("folder")
    (tmp_path / "a").mkdir()
    make(tmp_path / "a" / "one.wav")
    make(tmp_path / "a" / "one.flac")
    with pytest.raises(BenchError, match=r"a/one is there twice, as \.(wav and \.flac|flac and \.wav); keep one"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("source", "count", "speakers", "texts"),
    [
        ("librispeech:{}#test-clean", 44, 23, 44), ("librispeech:{}#test-other", 50, 5, 50),
        ("librispeech:{}#train-clean-100", 251, 251, 3), ("vctk:{}", 55, 17, 49), ("voicebank:{}", 25, 2, 25),
        ("mls:{}", 7, 7, 0), ("fleurs:{}", 50, 50, 50), ("fsdd:{}", 1440, 6, 1440), ("ravdess:{}", 336, 12, 336),
        ("folder:{}/ESC-10", 50, 10, 0),
    ],
)  # fmt: skip
def test_excerpts_of_the_corpora_load(source: str, count: int, speakers: int, texts: int, shared: Path) -> None:
    speech = data.load(source.format(shared / "data"))
    assert (len(speech), len(speech.speakers), sum(u.text is not None for u in speech)) == (count, speakers, texts)
    wave, rate = speech.utterances[-1].read(16000)
    assert rate == 16000
    assert np.isfinite(wave).all()
    assert all(u.path.is_file() for u in speech)
