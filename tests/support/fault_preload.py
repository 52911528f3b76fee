"""Faults in a worker or a client: loaded there with ``--preload`` or by ``python -c``, and told by a file what to do.

Every commit is a rename, so faults are at renames. The file named by the variable FAULTS holds a JSON object:

- ``pattern``: of the targets to which the fault applies, a regular expression of their path;
- ``action``: "kill" the process with SIGKILL before the rename or "kill after" it; "wait" until the file is gone;
  "error" for an OSError, EIO;
- ``times``: how many processes and threads meet it, over all; each leaves a file ``<FAULTS>.<n>`` that says so;
- ``share``: of the renames in a process, one in how many meets it; all of them if it is not there.
"""

import errno
import itertools
import json
import os
import re
import signal
import time
from pathlib import Path

# a nanny and Dask load this more than once
_replace = getattr(Path.replace, "original", Path.replace)
# a task that is tried again soon after a fault does not meet the next one
_renames = itertools.count(1)


def _met(file: Path, times: int) -> bool:
    for number in range(times):
        try:
            os.close(os.open(f"{file}.{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return True
    return False


def replace(path: Path, target: Path) -> Path:
    file = Path(os.environ["FAULTS"])
    try:
        fault = json.loads(file.read_text())
    except FileNotFoundError:
        return _replace(path, target)
    if (
        not re.search(fault["pattern"], str(target))
        or next(_renames) % fault.get("share", 1)
        or not _met(file, fault["times"])
    ):
        return _replace(path, target)
    match fault["action"]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "error":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(target))
        case "wait":
            while file.exists():
                time.sleep(0.01)
    result = _replace(path, target)
    if fault["action"] == "kill after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result


if "FAULTS" in os.environ:  # pytest imports this module too, to look for examples
    replace.original = _replace
    Path.replace = replace
