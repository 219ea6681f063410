"""The folder of what trainings read goes with its run, also with one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.tasks import trainings

HOLDS = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from bench.tasks import trainings
with trainings.scratch(SimpleNamespace(executor="processes"), SimpleNamespace(path=Path(sys.argv[1]))) as folder:
    (folder / "inputs.npz").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_killed_run_is_swept_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", HOLDS, str(store)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    try:
        folders = [Path(next(iter(run.stdout or ())).strip()) for run in runs]
        assert all(folder.parent == tmp_path and folder.is_dir() for folder in folders)
        runs[0].send_signal(signal.SIGKILL)
        runs[0].wait()
        assert folders[0].is_dir()
        (tmp_path / "inputs-of-somebody-else").mkdir()
        plan: Any = SimpleNamespace(executor="processes")
        place: Any = SimpleNamespace(path=store)
        with trainings.scratch(plan, place) as own:
            assert own.is_dir() and not folders[0].exists()
            assert (folders[1] / "inputs.npz").read_bytes() == b"x"
        assert not own.exists() and (tmp_path / "inputs-of-somebody-else").is_dir()
    finally:
        for run in runs:
            run.kill()
            run.wait()
