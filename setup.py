"""What a wheel carries besides the program: cards, tasks, small weights, committed tables. All else is in pyproject.toml.

In a checkout they lie beside bench/; a wheel has them in bench/content/, where `bench.cards.ROOT` finds them.
"""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

CONTENT = (
    "codecs/*.toml", "codecs/*/*.toml", "codecs/*/*.md", "codecs/*/*.safetensors", "codecs/*/*.tflite", "codecs/*/LICENSE",
    "tasks/*.toml", "tasks/profiles/*.toml",
    "results/gate/*.parquet", "results/*/*/*.parquet", "results/*/*/*/*.parquet", "results/README.md",
)  # fmt: skip
"""Left out: curves of training, plots, golden outputs of `bench certify`, which needs a checkout."""


class BuildWithContent(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        root = Path(__file__).resolve().parent
        for pattern in CONTENT:
            for path in sorted(root.glob(pattern)):
                relative = path.relative_to(root)
                if relative.parts[:2] in {("results", "golden"), ("results", "partial")}:
                    continue
                target = Path(self.build_lib, "bench", "content", relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, target)


setup(cmdclass={"build_py": BuildWithContent})
