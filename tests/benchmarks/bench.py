"""Shared parts of the benchmarks: a folder that keeps data and environments, measurements in processes of their own."""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

HERE = Path(__file__).parent
PACKAGES = {
    "faiss": ["faiss-cpu==1.15.1", "numpy"],
    "sklearn": ["scikit-learn==1.9.1"],
    "difpy": ["difPy==4.2.1"],
    "faiss_hashes": ["faiss-cpu==1.15.1", "numpy"],
    "imagededup": ["scikit-learn==1.9.1", "tqdm", "pillow", "matplotlib", "PyWavelets", "imagededup==0.3.3.post2"],
    "fast_diff_py": ["fast_diff_py==0.2.0"],
}


def make_parser(description: str, parts: list[str], peers: list[str]) -> argparse.ArgumentParser:
    """Give a parser of the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=lambda text: Path(text).absolute(), help="where data and environments are kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers)
    parser.add_argument("--only", nargs="*", choices=parts, default=parts)
    parser.add_argument("--unset", nargs="*", default=[], help="environment variables that our processes do not get")
    return parser


class Bench:
    """Shared parts of the measurements of one benchmark.

    Parameters
    ----------
    options
        As `make_parser` gives them.
    columns
        Heads of the table.
    title
        Its title.
    """

    def __init__(self, options: argparse.Namespace, columns: list[str], title: str) -> None:
        self.options = options
        self.folder: Path = options.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.table = Table(*columns, title=title)

    def own_environment(self) -> dict[str, str]:
        """Give the environment variables of our processes."""
        return {name: value for name, value in os.environ.items() if name not in self.options.unset}

    def run(
        self,
        python: str,
        script: str,
        *arguments: object,
        environment: dict[str, str] | None = None,
        threads: int | None = None,
    ) -> dict[str, Any]:
        """Run a script, and give what its last line says."""
        command = [python, str(HERE / script), *map(str, arguments), "--threads", str(threads or self.options.threads)]
        with tempfile.TemporaryFile("w+", dir=self.folder) as output, self.log() as log:
            # a file, not a pipe, and a session of its own: some peers leave processes behind that never end
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
            try:
                if process.wait(timeout=1800):
                    raise SystemExit(f"{' '.join(command)} failed; see {self.folder / 'log.txt'}")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            output.seek(0)
            result: dict[str, Any] = json.loads(output.read().splitlines()[-1])
        return result

    def log(self) -> Any:
        """Folder in which the peers may write what they like."""
        return (self.folder / "log.txt").open("a")

    def ours(self, *arguments: object, script: str = "ours.py", threads: int | None = None) -> dict[str, Any]:
        """Measure this package."""
        return self.run(sys.executable, script, *arguments, environment=self.own_environment(), threads=threads)

    def peer(self, name: str, *arguments: object, script: str = "peers.py") -> dict[str, Any]:
        """Measure a peer, in an environment of its own."""
        python = self.folder / "environments" / name / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
            with self.log() as log:
                install = [python, "-m", "pip", "install", "--quiet", *PACKAGES[name]]
                subprocess.run(install, check=True, stderr=log)
        return self.run(str(python), script, name, *arguments)


def median(runs: list[dict[str, Any]], name: str = "seconds") -> float:
    """Median of a figure over the rounds."""
    return statistics.median(run[name] for run in runs)
