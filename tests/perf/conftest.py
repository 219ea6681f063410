"""Speed is measured on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def one_thread_without_gradients(one_thread: None) -> Iterator[None]:
    with torch.inference_mode():
        yield
