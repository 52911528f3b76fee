"""Move pictures in child processes, kill each at another moment with SIGKILL, and report what is where.

Called by test_actions.py as a process of its own, because it forks. Moments are counted in what Python does to files:
opening, linking, renaming and removing, each an audit event. Prints a JSON object a moment.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from fastdiff_dask.actions.files.file_moves import move_files
from fastdiff_dask.actions.journal import Record
from fastdiff_dask.actions.removals import Removal, Seen

EVENTS = {"open", "os.link", "os.rename", "os.remove"}


def seen(path: Path) -> Seen:
    status = path.stat()
    return Seen(str(path), status.st_size, status.st_mtime_ns)


def prepare(photos: Path, target: Path) -> list[Removal]:
    """Two pictures to move, one to keep, and in the target another one with the name of the first."""
    for folder in (photos, target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for number, name in enumerate(("a.jpg", "b.jpg", "kept.jpg")):
        (photos / name).write_bytes(bytes([number]) * 3_000_000)
    (target / "a.jpg").write_bytes(b"not ours")
    return [Removal(seen(photos / name), seen(photos / "kept.jpg")) for name in ("a.jpg", "b.jpg")]


def in_child(removals: list[Removal], target: Path, record: Path, moment: int) -> tuple[int, int]:
    """Exit status of a forked process that is killed at a moment, and the events it counted (0 if it was killed)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0
        folders = (str(target), str(Path(removals[0].file.path).parent), str(record))

        def counted(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in EVENTS and str(arguments[0]).startswith(folders):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(counted)
        list(move_files(removals, target, Record(record)))
        os.write(writing, str(count).encode())
        os._exit(0)
    os.close(writing)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reading) as pipe:
        return status, int(pipe.read() or 0)


def contents(folder: Path) -> dict[str, list[int]]:
    """First byte and size of each file."""
    return {
        path.name: [path.read_bytes()[0] if path.stat().st_size else -1, path.stat().st_size]
        for path in folder.iterdir()
    }


def main() -> None:
    photos, target, record = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    moment, more = 0, 1
    while moment <= more:
        removals = prepare(photos, target)
        record.unlink(missing_ok=True)
        status, count = in_child(removals, target, record, moment)
        more = count or more
        report = {
            "moment": moment,
            "killed by": -status,
            "photos": contents(photos),
            "target": contents(target),
            "record": record.read_text().splitlines() if record.exists() else [],
        }
        record.unlink(missing_ok=True)
        left = [removal for removal in removals if Path(removal.file.path).exists()]
        resumed, _ = in_child(left, target, record, 0) if left else (0, 0)
        report |= {"resumed": resumed, "photos after": contents(photos), "target after": contents(target)}
        print(json.dumps(report), flush=True)
        moment += 1


if __name__ == "__main__":
    main()
