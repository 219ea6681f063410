"""Devices that are not there or cannot be used: one line each that says what to do, whatever this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import device
from bench.cli import doctor, gpu
from bench.engine import loaded, systems
from bench.errors import NoDevice
from bench.guard import guarded
from bench.tasks import options

EXISTS = Path.exists


def card(monkeypatch: pytest.MonkeyPatch, count: int, usable: bool = True) -> None:
    """This machine has an NVIDIA card, of which torch sees `count`."""
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/dev/nvidia0" or EXISTS(self))
    monkeypatch.setattr("torch.cuda.is_available", lambda: usable)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    [line] = told.err.splitlines()
    assert told.out == "" and "Traceback" not in line
    return line


def test_a_number_beyond_the_cards(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    card(monkeypatch, 1)
    assert options.device("cuda:0") == "cuda:0" and options.device("auto") == "cuda"
    said = "cuda:7: this machine has 1 CUDA device(s), cuda:0 to cuda:0; use --device cpu"
    assert guarded(lambda: int(options.device("cuda:7"))) != 0 and said in one_line(capsys)
    assert guarded(lambda: gpu.run("cuda:7")) != 0 and "cuda:7: this machine has 1" in one_line(capsys)


def test_a_driver_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, 0, usable=False)
    assert options.device("auto") == "cpu"
    for built, said in (("13.0", "is built for CUDA 13.0"), (None, "is a build for CPUs")):
        monkeypatch.setattr("torch.version.cuda", built)
        with pytest.raises(NoDevice, match=f"driver is too old.*{said}"):
            options.device("cuda")


def test_onnxruntime_without_cuda_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "a card")
    found = [one for one in doctor._devices() if "onnxruntime has no CUDA" in str(one)]
    assert len(found) == 1 and "onnxruntime-gpu" in str(found[0])


def test_a_card_that_another_process_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """A codec that finds no memory is a failure of the machine, told so, and is tried again."""
    chosen = systems.system("mulaw")
    tries = iter([torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB, 1 MiB free"), None])

    def load(system: object) -> str:
        if error := next(tries):
            raise error
        return "loaded"

    monkeypatch.setattr(loaded, "load", load)
    monkeypatch.setattr(device, "holders", [])
    codecs = loaded.Codecs()
    with pytest.raises(MemoryError, match="no memory to load the codec: does another process hold it") as told:
        codecs.get(chosen)
    assert len(str(told.value).splitlines()) == 1
    assert codecs.get(chosen) == "loaded"
