"""Kill the commands find, apply and undo with SIGKILL at random moments, go on, and report what is left.

Called by test_kill_commands.py as a process of its own, because it forks: ``kill_commands.py FOLDER ELSEWHERE KILLS
SEED``, with the environment of the commands. Each command is a process that runs the command line, with decoders of its
own; it is killed after a random part of the time that it takes. Prints a JSON object for each kill, with all that
differs from a run that was not killed; empty if nothing does.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from support.kill_driver import import_all
from support.losing import World, files_below

from fastdiff_dask.cli import commands
from fastdiff_dask.testing import simulate_images

ACTIONS = ("trash", "move", "tree", "elsewhere", "hardlink", "symlink")
KINDS = [("find", "")] * 4 + [(what, one) for what in ("apply", "undo") for one in ACTIONS]
KINDS += [("apply", "delete"), ("apply", "copy")]


class Killer:
    """A folder with pictures, the commands that are run on them, and how each ends if nothing happens."""

    def __init__(self, base: Path, elsewhere: Path, seed: int) -> None:
        self.base, self.template, self.random = base, base / "template", random.Random(seed)
        self.world = World(base, elsewhere, None)
        self.whole: dict[tuple[str, str], Any] = {}
        self.seconds: dict[tuple[str, str], float] = {}
        self._make()

    def _make(self) -> None:
        """Pictures with copies, some of them equal byte by byte, with times, modes, owners and links of their own."""
        photos = self.base / "photos"
        simulate_images(photos, images=16, duplicates=6, size=(80, 60))
        paths = sorted(path for path in photos.rglob("*") if path.is_file())
        (photos / "deep" / "er").mkdir(parents=True)
        for number, path in enumerate(paths[:6]):
            shutil.copyfile(path, photos / ("deep/er" if number % 2 else "") / f"equal {number}{path.suffix}")
        os.link(photos / f"equal 0{paths[0].suffix}", photos / f"linked{paths[0].suffix}")
        for number, path in enumerate(sorted(photos.rglob("*"))):
            if path.is_file():
                if os.geteuid() == 0:
                    os.chown(path, 1000 + number, 1000)
                path.chmod(0o600 + number % 8)
                os.utime(path, ns=(10**18, 10**18 + number * 10**9 + number))
        self.template.mkdir()
        self._copy(photos, self.template / "photos")
        self.begin("find")
        self.check(self.run("find") == 0, "the first find")
        self._copy(self.base / "store", self.template / "store")

    def measure(self, kind: tuple[str, str]) -> None:
        """See how long a command takes that is not killed, and how it ends."""
        self.begin(*kind)
        start = time.monotonic()
        self.check(self.run(*kind) == 0, f"{kind} without a kill")
        self.seconds[kind], self.whole[kind] = time.monotonic() - start, self.outcome(*kind)

    def check(self, true: bool, text: str) -> None:
        if not true:
            raise AssertionError(f"{text}\n{self.log.read_text(errors='replace')[-3000:]}")

    @property
    def log(self) -> Path:
        return self.base / "log"

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)

    def begin(self, command: str, action: str = "") -> None:
        """Put everything back to where the command begins."""
        for place in (self.base / "store", self.base / "data", self.base / "target", *self.world.elsewhere.iterdir()):
            shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)
        self._copy(self.template / "photos", self.base / "photos")
        if command != "find":
            self._copy(self.template / "store", self.base / "store")
        self.before = self.world.snapshot()
        if command == "undo":
            self.check(self.run("apply", action) == 0, f"apply {action} before undo")

    def start(self, command: str, action: str = "") -> int:
        """Start a command as a process; gives its number."""
        child = os.fork()
        if child:
            return child
        os.setsid()
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        store, photos = str(self.base / "store"), str(self.base / "photos")
        arguments = ["undo", "--yes"]
        if command == "find":
            arguments = ["find", photos, "--store", store, "--json", str(self.base / "out.json"), "--threads", "2"]
            arguments += ["--dashboard-address", "127.0.0.1:0", "--block-size", "8"]
        elif command == "apply":
            target, elsewhere = str(self.base / "target"), str(self.world.elsewhere)
            how = {"move": ["--move", target], "elsewhere": ["--move", elsewhere, "--keep-tree"]}
            how |= {"tree": ["--move", target, "--keep-tree"], "copy": ["--copy", elsewhere, "--keep-tree"]}
            arguments = ["apply", store, "--yes-really", *how.get(action, [f"--{action}"])]
        sys.argv = ["fastdiff-dask", *arguments]
        try:
            commands.main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))
        except BaseException:
            traceback.print_exc()
        os._exit(99)

    def run(self, command: str, action: str = "") -> int:
        """Run a command to its end; gives its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.start(command, action), 0)[1])

    def outcome(self, command: str, action: str) -> Any:
        """State of everything after a command, as far as it is the same each time."""
        if command == "find":
            result = json.loads((self.base / "out.json").read_text())
            del result["stats"]
            return json.dumps(result)
        tops = [
            self.base / "photos",
            self.base / "target",
            self.world.elsewhere,
            self.base / "data" / "Trash" / "files",
        ]
        contents = []
        for top in tops:
            files = [Path(path) for path in files_below(top)]
            kinds = [(path.is_symlink(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
            contents.append(sorted(Counter(kinds).items()))
        return contents, sorted(files_below(self.base / "photos"))

    def leftovers(self) -> list[str]:
        """Files that were being made when a process was killed."""
        tops = (
            self.base / "photos",
            self.base / "target",
            self.base / "data",
            self.base / "store",
            self.world.elsewhere,
        )
        names = [path for top in tops for path in files_below(top)]
        return [name for name in names if any(part in Path(name).name for part in (".fastdiff-", ".partial", ".tmp"))]

    def kill(self, command: str, action: str) -> dict[str, Any]:
        """Kill a command at a random moment, go on, and say what is not as without a kill."""
        if (command, action) not in self.whole:
            self.measure((command, action))
        self.begin(command, action)
        moment = self.random.uniform(0, 1)
        child = self.start(command, action)
        time.sleep(moment * self.seconds[command, action])
        os.kill(child, signal.SIGKILL)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        wrong = []
        code = self.run(command, action)
        if code and not (command == "undo" and "nothing to undo" in self.log.read_text()):
            wrong.append(f"exit code {code} when it went on: {self.log.read_text()[-1500:]}")
        if self.outcome(command, action) != self.whole[command, action]:
            wrong.append("the outcome is another one")
        if command != "find" and action not in ("delete", "copy"):
            rounds = 0
            while self.run("undo") == 0 and rounds < 5:
                rounds += 1
            after = self.world.snapshot()
            differs = [name for name in self.before | after if self.before.get(name) != after.get(name)]
            wrong += [f"{name!a}: {self.before.get(name)}, now {after.get(name)}" for name in differs]
        wrong += [f"left over: {name}" for name in self.leftovers()]
        return {"command": command, "action": action, "moment": round(moment, 3), "killed": killed, "wrong": wrong}


def main() -> None:
    base, elsewhere, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    import_all()
    killer, done, number = Killer(base, elsewhere, seed), 0, seed
    while done < kills:
        report = killer.kill(*KINDS[number % len(KINDS)])
        done, number = done + report["killed"], number + report["killed"]  # one that had ended is tried again
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
