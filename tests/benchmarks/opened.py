"""Files of a folder that a command opens, in all its Python processes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["count_opened", "watch"]

_FOLDER, _LOG = "BENCHMARK_OPENED_FOLDER", "BENCHMARK_OPENED_LOG"


def watch() -> None:
    """Write down each file below the folder that this process opens from now on."""
    folder = os.environ[_FOLDER] + os.sep
    log = os.open(os.environ[_LOG], os.O_WRONLY | os.O_APPEND)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if path.startswith(folder):
                os.write(log, os.fsencode(path).replace(b"\n", b"?") + b"\n")

    sys.addaudithook(hook)


def count_opened(command: list[str], folder: Path, environment: dict[str, str], output: int) -> int:
    """Run a command, and count the files below an absolute folder that it and its children open, each once.

    Only what goes through Python is seen, and only absolute paths: how the package names pictures.

    Raises
    ------
    subprocess.CalledProcessError
        If the command fails.
    """
    with tempfile.TemporaryDirectory() as place:
        # every Python imports a module of this name at its start, also the decoders that the command starts
        start = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import opened; opened.watch()\n"
        (Path(place) / "sitecustomize.py").write_text(start)
        log = Path(place) / "log"
        log.touch()
        paths = os.pathsep.join([place, *filter(None, [environment.get("PYTHONPATH")])])
        environment = environment | {"PYTHONPATH": paths, _FOLDER: str(folder), _LOG: str(log)}
        subprocess.run(command, env=environment, check=True, stdout=output, stderr=output)
        return len(set(log.read_bytes().splitlines()))
