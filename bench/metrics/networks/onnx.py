"""Sessions of onnxruntime, on the CPU or through its CUDA provider where that is installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.metrics.networks import Batch


@cache
def has_cuda() -> bool:
    """Whether the installed onnxruntime brings the CUDA provider."""
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def place(device: str) -> str:
    """`device`, or "cpu" for a CUDA device that the installed onnxruntime cannot use."""
    return device if not device.startswith("cuda") or has_cuda() else "cpu"


def session(path: Path, device: str = "cpu", *, arena: bool = True) -> Any:
    """A single-threaded session: parallelism belongs to the engine's processes.

    Without `arena`, memory is returned after every call: right for networks that see many different lengths.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        number = int(device.partition(":")[2] or 0)
        # Full single precision: TF32 moves scores by more than the tolerance between devices.
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": number, "use_tf32": 0}))
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def run(model: Any, batch: Batch) -> Any:
    """The first output of `model` on the rows of `batch`, as a tensor on the CPU."""
    import torch

    [name] = [entry.name for entry in model.get_inputs()]
    return torch.from_numpy(np.asarray(model.run(None, {name: batch.rows.numpy()})[0]))
