"""Packs the reference values that tests read (tests/fixtures/README.md) from the folder that holds all of them.

python tools/make_fixtures.py ../shared/fixtures: one archive. Only what tests compare is kept; waves go in as
FLAC, whose samples are the same. What several files have in common costs little, as xz sees a whole archive at once.
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import soundfile
from safetensors.numpy import load_file, save

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
CASES_LEFT_OUT = (
    "tiny_encodec_ds640", "tiny_freqcodec_magphase_std_ds320", "tiny_freqcodec_magphase_gr8_ds320", "tiny_causal_lookahead0",
    "tiny_causal_vocos_postnorm", "tiny_options", "supercodec_tiny_s2458_b2",
    "ls251__gain-6", "ls251__delay10ms",
)  # fmt: skip
"""Their layers are those of other cases, in other numbers."""
LONG = "a_16000."
OF_LONG = {
    "tiny_encodec_ds320": ("a_16000.wave", "a_16000.nq8.codes", "a_16000.decode_from_codes_unscaled"),
    "tiny_freqcodec_magphase_gr1_ds320": ("a_16000.wave", "a_16000.nq8.codes", "a_16000.decode_from_codes_unscaled"),
}
"""What the adapter's test reads of the longest input; parity is compared on the shorter ones."""


def kept(subject: str, case: str, tensor: str) -> bool:
    """Whether a tensor of a case goes in."""
    if subject == "focalcodec":
        return tensor != "dec.head_proj"
    if subject == "funcodec" and tensor.startswith(LONG):
        return tensor in OF_LONG.get(case, ())
    if subject == "funcodec" and tensor.startswith("discriminator."):
        return case == "tiny_encodec_ds320"
    return True


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(name in the archive, bytes) of every file of a subject."""
    for path in sorted(folder.rglob("*")):
        name, case = path.relative_to(folder).as_posix(), path.name.partition(".")[0]
        if not path.is_file() or case in CASES_LEFT_OUT or path.suffix in (".md", ".txt"):
            continue
        if path.suffix == ".safetensors":
            held = load_file(path)
            yield name, save({key: value for key, value in held.items() if kept(folder.name, case, key)})
        elif path.suffix == ".wav":
            wave, rate = soundfile.read(path, dtype="int16")
            if soundfile.info(path).subtype != "PCM_16":
                raise SystemExit(f"{path}: is not 16 bit")
            flac = io.BytesIO()
            soundfile.write(flac, wave, rate, format="FLAC", subtype="PCM_16")
            yield name.removesuffix(".wav") + ".flac", flac.getvalue()
        else:
            yield name, path.read_bytes()


def main() -> None:
    target = OUT / "reference.tar.xz"
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir() and path.name != "zoo"):
            # Equal waves of several folders lie side by side.
            for name, data in sorted(contents(folder), key=lambda item: (not item[0].endswith(".flac"), item[0])):
                entry = tarfile.TarInfo(f"{folder.name}/{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
