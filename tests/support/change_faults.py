"""Go through all calls that change the disk, of an action and of its undo: a kill or an error at each, what is left.

Called by test_change_faults.py as a process of its own, because it forks, with XDG_DATA_HOME set:
``change_faults.py FOLDER ELSEWHERE ACTION WHERE FAULT EVERY``. WHERE is "apply" or "undo", FAULT is "kill", "kill
after" or the name of an error; of all calls, one in EVERY meets it. Prints a JSON object for each: the
call, and what differs from the state before in the end, after an undo without faults.
"""

import builtins
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import sys
import traceback
from pathlib import Path

from fastdiff_dask.actions.files.file_moves import delete_files, move_files
from fastdiff_dask.actions.files.links import link_files
from fastdiff_dask.actions.files.trash import trash_files
from fastdiff_dask.actions.files.two_files import clear_leftovers
from fastdiff_dask.actions.journal import Record, acting, last_to_undo, new_journal
from fastdiff_dask.actions.removals import Removal, Seen
from fastdiff_dask.actions.undo import clear_away, undo

NAMES = ("link", "symlink", "rename", "replace", "unlink", "remove", "mkdir", "chown", "chmod", "utime", "setxattr")
NAMES += ("fsync", "truncate", "ftruncate", "sendfile")
FILES = ("other.png", "equal.png", "attributes.png", "kept.png")


class Faults:
    """Counts the changes in this process; one of them meets the fault."""

    def __init__(self, moment: int, fault: str) -> None:
        self.count, self.moment, self.fault = 0, moment, fault
        self.met = ""

    def call(self, name, function, *arguments, **options):
        self.count += 1
        if self.count != self.moment:
            return function(*arguments, **options)
        self.met = f"{name}{arguments[:2]}"
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "kill after":
            function(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.fault)
        raise OSError(number, os.strerror(number))

    def install(self) -> None:
        def counted(name):
            function = getattr(os, name)
            return lambda *arguments, **options: self.call(name, function, *arguments, **options)

        for name in NAMES:
            setattr(os, name, counted(name))
        faults, plain = self, io.open

        class Raw(io.FileIO):
            def write(self, data):
                return faults.call("write", super().write, data)

            def truncate(self, size=None):
                return faults.call("truncate", super().truncate, size)

        def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **options):
            if isinstance(file, int) or not set(mode) & set("xwa") or not str(file).startswith((BASE, ELSEWHERE)):
                return plain(file, mode, buffering, encoding, errors, newline, **options)
            raw = faults.call("open", Raw, file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            return io.BufferedWriter(raw) if "b" in mode else io.TextIOWrapper(io.BufferedWriter(raw), encoding)

        io.open = builtins.open = opened


BASE, ELSEWHERE = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")


def prepare() -> None:
    for place in (Path(BASE, "photos"), Path(BASE, "target"), Path(BASE, "data"), Path(ELSEWHERE)):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    for number, name in enumerate(FILES):
        path = Path(BASE, "photos", name)
        path.write_bytes(b"another" if name == "other.png" else b"equal" * 1000)
        if name == "attributes.png":
            os.setxattr(path, "user.note", b"mine")
        if os.geteuid() == 0:
            os.chown(path, 1234 + number, 4321)
        path.chmod(0o640 + number)
        os.utime(path, ns=(10**18, 10**18 + number))


def tree() -> dict[str, list[object]]:
    """Everything that is there, but for the journals."""
    found = {}
    for top in (BASE, ELSEWHERE):
        for path in sorted(Path(top).rglob("*")):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode) or "actions" in path.parts:
                continue
            kind = str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
            names = os.listxattr(path, follow_symlinks=False)
            values = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
            found[str(path)] = [kind, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid, values]
    return found


def digest(seen: Seen) -> str:
    return hashlib.sha256(Path(seen.path).read_bytes()).hexdigest()


def act(action: str) -> None:
    paths = [Path(BASE, "photos", name) for name in FILES]
    seen = [Seen(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    removals = [Removal(one, seen[-1]) for one in seen[:-1]]
    digests = {removal: (digest(removal.file), digest(removal.kept)) for removal in removals}
    with acting():
        clear_leftovers()
        record = Record(new_journal("store"), digests.__getitem__)
        try:
            record.add("begin", "store", command=action)
            if action in ("move", "copy"):
                list(move_files(removals, ELSEWHERE if action == "copy" else Path(BASE, "target"), record))
            elif action == "trash":
                list(trash_files(removals, record))
            elif action == "delete":
                list(delete_files(removals, record))
            else:
                list(link_files(removals, action, record, digests=digests.__getitem__))
        finally:
            record.close()


def back() -> list[str]:
    found, _ = last_to_undo()
    if found is None:
        clear_away()
        return []
    return [outcome.reason for outcome in undo(found) if outcome.reason]


def forked(function, moment: int = 0, fault: str = "") -> dict[str, object]:
    """Run a function in a child; gives how it ended, its value, and how many changes it made."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faults = Faults(moment, fault)
        faults.install()
        end: dict[str, object] = {"value": None}
        try:
            end["value"] = function()
        except OSError:
            end["error"] = traceback.format_exc()
        os.write(writing, json.dumps(end | {"count": faults.count, "met": faults.met}).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status} | (json.loads(text) if text else {})


def main() -> None:
    action, where, fault, every = sys.argv[3], sys.argv[4], sys.argv[5], int(sys.argv[6])
    moment = 1
    while True:
        prepare()
        before = tree()
        first = forked(lambda: act(action), moment if where == "apply" else 0, fault)
        reached = first
        if where == "undo":
            reached = forked(back, moment, fault)
        last = forked(back)
        # a second time: what an error has left may be seen only then
        again = forked(back)
        after = tree()
        differs = {
            name: [before.get(name), after.get(name)] for name in before | after if before.get(name) != after.get(name)
        }
        end = {"moment": moment, "reached": reached, "last": last, "again": again, "differs": differs}
        print(json.dumps(end), flush=True)
        if reached["status"] == 0 and not reached["met"]:
            break
        moment += every


if __name__ == "__main__":
    main()
