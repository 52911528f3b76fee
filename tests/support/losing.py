"""A world of picture files in which one tries to lose a picture by `find`, `apply` and `undo`.

The pictures are made here, so that it is known of each content which picture it shows, whatever the second look says.
"""

import contextlib
import hashlib
import io
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from support.command_line import invoke

from fastdiff_dask.project.options import ClientOptions, Settings
from fastdiff_dask.project.project import Project

ACTIONS = ("trash", "move", "tree", "copy", "elsewhere", "delete", "hardlink", "symlink")
# How a picture is written; the last three are other pictures than the first ones.
FORMS = ("png", "jpeg", "worse", "dated", "half", "turned", "bmp", "marked", "animated", "clear")
NAMES = [
    *("a.png", "A.PNG", "a (1).png", "-rf.png", "new\nline.jpg", "x::y.jpg", os.fsdecode(b"\xff\xfe.png"), "IMG_1.jpg"),
    *("f\u00e9.png", "fe\u0301.png", "IMG_1 copy.jpg", " blank .png", "%41.png", "b.tif"),
]
FOLDERS = [os.fsdecode(name) for name in (b".", b"more", b"More", b"less/deep", b"Trash", b"odd\xff")]
TIMES = (10**9, 1_500_000_000, 1_600_000_001, 0, -11644473600, 9223400000, 15032385535)
SIDES = ("photos", "incoming")


class Content(NamedTuple):
    """Content of a file: pictures of one family are similar, those of one scene the same."""

    family: int
    scene: str
    extras: frozenset[str] = frozenset()


class FileSpec(NamedTuple):
    """A file to be made; `like` is the number of an earlier file of which it is a copy or a link."""

    family: int
    form: str
    folder: int
    name: int
    time: int
    side: int = 0
    how: str = "new"
    like: int = 0
    attributes: bool = False
    sidecar: bool = False


class LostError(AssertionError):
    """A picture was lost, or something did not come back."""


def draw(family: int, form: str) -> tuple[bytes, Content]:
    """Make the bytes of a picture, and say what it shows."""
    rng = np.random.default_rng(family)
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((96, 72), Image.Resampling.BICUBIC)
    file, options, scene, extras = io.BytesIO(), {}, "plain", frozenset[str]()
    kind = {"png": "PNG", "bmp": "BMP", "half": "PNG", "animated": "GIF", "clear": "PNG", "marked": "PNG"}
    if form == "half":
        image = image.resize((48, 36), Image.Resampling.LANCZOS)
    elif form == "turned":
        image = image.transpose(Image.Transpose.ROTATE_90)
    elif form == "marked":
        image.paste((255, 255, 255) if family % 2 else (0, 0, 0), (10, 10, 22, 20))
        scene = "marked"
    elif form == "clear":
        image.putalpha(Image.fromarray(np.pad(np.full((60, 80), 255, np.uint8), ((6, 6), (8, 8)), constant_values=90)))
        scene, extras = "clear", frozenset({"transparency"})
    elif form == "animated":
        second = Image.new("RGB", image.size, (family * 50 % 256, 0, 255))
        image, options, scene = image.quantize(64), {"save_all": True, "append_images": [second]}, "animated"
    elif form == "dated":
        exif = Image.Exif()
        exif[0x0132], exif[0x010F] = "2020:01:02 03:04:05", "Maker"
        options = {"exif": exif, "quality": 95}
    elif form in ("jpeg", "worse"):
        options = {"quality": 95 if form == "jpeg" else 60}
    image.save(file, kind.get(form, "JPEG"), **options)
    return file.getvalue(), Content(family, scene, extras)


def digest_of(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def files_below(top: Path) -> Iterator[str]:
    """All that is no folder; links are not followed."""
    for folder, folders, names in os.walk(top):
        for name in names + [one for one in folders if Path(folder, one).is_symlink()]:
            yield str(Path(folder, name))


class World:
    """Folders with pictures, a store, and all that happens to them.

    Parameters
    ----------
    base
        A new folder.
    elsewhere
        A new folder on another file system, if there is one.
    client
        The Dask client.
    seen_twice
        True if the second side is a mount of the first one.
    """

    def __init__(self, base: Path, elsewhere: Path, client: Any, *, seen_twice: bool = False) -> None:
        self.base, self.elsewhere, self.client, self.seen_twice = base, elsewhere, client, seen_twice
        self.store, self.target, self.outside = base / "store", base / "target", base / "outside"
        self.known: dict[str, Content] = {}
        self.files: list[Path] = []
        self.lost: dict[str, Content] = {}
        self.sides = 1
        self.said = ""
        self.trace: list[str] = []
        for side in (*SIDES, "outside"):
            (base / side).mkdir(exist_ok=True)

    # -- what is there -----------------------------------------------------------------------------------------------

    def make(self, spec: FileSpec) -> None:
        """Make a file; one whose name is taken is left out."""
        top = self.base / SIDES[0 if self.seen_twice else spec.side] if spec.side < 2 else self.outside
        folder = top / FOLDERS[spec.folder % len(FOLDERS)]
        path = folder / NAMES[spec.name % len(NAMES)]
        folder.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            return
        like = self.files[spec.like % len(self.files)] if self.files else None
        if spec.how == "folder link":
            if not os.path.lexists(top / "linked"):
                (top / "linked").symlink_to(folder)
            return
        if spec.how == "new" or like is None or not like.is_file():
            data, content = draw(spec.family, spec.form)
            self.known[hashlib.sha256(data).hexdigest()] = content
            path.write_bytes(data)
        elif spec.how == "copy":
            shutil.copyfile(like, path)
        elif spec.how == "hard link":
            os.link(like, path, follow_symlinks=False)
        else:
            path.symlink_to(like)
        self.files.append(path)
        if spec.how in ("new", "copy"):
            self._dress(path, spec)

    def _dress(self, path: Path, spec: FileSpec) -> None:
        if spec.attributes:
            with contextlib.suppress(OSError):
                os.setxattr(path, "user.note", b"mine")
        if os.geteuid() == 0:
            os.chown(path, 1000 + spec.name, 1000)
        path.chmod(0o600 + spec.time % 0o77)
        if spec.sidecar:
            path.with_suffix(".xmp").write_bytes(b"edits " + os.fsencode(path))
        os.utime(path, (TIMES[spec.time % len(TIMES)],) * 2)

    @property
    def tops(self) -> list[Path]:
        return [self.base / side for side in SIDES[: 1 if self.seen_twice else 2]] + [self.outside]

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        """Everything but folders, journals and the store: content, times, mode, owner, attributes, other names."""
        found: dict[str, tuple[Any, ...]] = {}
        names: dict[tuple[int, int], list[str]] = {}
        for top in [*self.tops, self.target, self.elsewhere, self.base / "data" / "Trash"]:
            for path in files_below(top):
                status = os.lstat(path)
                names.setdefault((status.st_dev, status.st_ino), []).append(path)
                link = stat.S_ISLNK(status.st_mode)
                content = str(Path(path).readlink()) if link else digest_of(path)
                attributes = [] if link else [(name, os.getxattr(path, name)) for name in os.listxattr(path)]
                found[path] = (content, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid, attributes)
        for paths in names.values():
            # nobody knows of names that were not looked for
            known = tuple(sorted(path for path in paths if not Path(path).is_relative_to(self.outside)))
            for path in paths:
                found[path] += (known,)
        return found

    def shown(self, before: dict[str, tuple[Any, ...]]) -> set[str]:
        """Contents that have a name of their own where the user looks for pictures."""
        tops = tuple(f"{top}/" for top in self.tops)
        return {one[0] for path, one in before.items() if path.startswith(tops) and stat.S_ISREG(one[2])}

    def contents(self, snapshot: dict[str, tuple[Any, ...]]) -> set[str]:
        """Contents that are anywhere."""
        return {one[0] for path, one in snapshot.items() if stat.S_ISREG(one[2]) and not path.endswith(".trashinfo")}

    def empty(self) -> None:
        """Take everything away, but what is mounted."""
        for top in [*self.tops, self.target, self.store, self.base / "data", self.base / "cache"]:
            for path in top.iterdir() if top.is_dir() else ():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    # -- what happens ------------------------------------------------------------------------------------------------

    def find(self, sides: int, threshold: float) -> None:
        shutil.rmtree(self.store, ignore_errors=True) if sides != self.sides else None
        self.sides = sides
        b = (str(self.base / SIDES[1]),) if sides == 2 else ()
        a = (str(self.base / SIDES[0]),) if sides == 2 else tuple(str(self.base / side) for side in SIDES)
        settings = Settings(
            p_root_dir_a=a, p_root_dir_b=b, store=str(self.store), verbose=False, similarity_threshold=threshold
        )
        before = self.snapshot()
        with Project(settings, ClientOptions(client=self.client)) as project:
            project.index()
            project.make_thumbnails()
            project.compare()
            project.verify()
            project.result()
        self._same(before, "find")

    def apply(self, action: str, options: list[str], *, protect: str | None = None) -> bool:
        """Apply; gives whether anything was done."""
        how = ["--move", self.target if action == "move" else self.elsewhere]
        if action in ("tree", "copy"):
            how = ["--move", self.target, "--keep-tree"] if action == "tree" else ["--copy", self.target]
        elif action not in ("move", "elsewhere"):
            how = [f"--{action}"]
        if protect is not None:
            options = [*options, "--protect", protect]
        before = self.snapshot()
        code, self.said = invoke("apply", self.store, *how, *options)
        self._same(before, "apply without --yes")
        if code or "Traceback" in self.said:
            if "Error" not in self.said and not self._refusal():
                raise LostError(f"apply: exit code {code}: {self.said}")
            return False
        code, self.said = invoke("apply", self.store, *how, *options, "--yes-really")
        after = self.snapshot()
        self._check_apply(before, after, action, options, protect)
        return before != after

    def _refusal(self) -> bool:
        return any(
            text in self.said
            for text in (
                "no finished comparison",
                "none of the images",
                "no store",
                "not of all",
                "is for files that go",
            )
        )

    def undo(self) -> tuple[dict[str, tuple[Any, ...]], int]:
        """Undo; nothing that is there may go by it but links. Gives what is there after it, and the exit code."""
        before = self.snapshot()
        code, self.said = invoke("undo", "--yes")
        after = self.snapshot()
        gone = self.contents(before) - self.contents(after)
        self._want(not gone, f"undo has lost {[self.known.get(one) for one in gone]}")
        self._want("Traceback" not in self.said, self.said)
        self._still_shown(after)
        return after, code

    # -- what must hold ----------------------------------------------------------------------------------------------

    def _want(self, true: bool, text: str) -> None:
        if not true:
            raise LostError(f"{text}\n{self.said}\n" + "\n".join(self.trace))

    def _same(self, before: dict[str, tuple[Any, ...]], what: str) -> None:
        self.check_equal(before, self.snapshot(), what)

    def check_equal(self, before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]], what: str) -> None:
        """Check that two snapshots are equal."""
        wrong = [
            f"{path!a}: {before.get(path)}\n  now {after.get(path)}"
            for path in before | after
            if before.get(path) != after.get(path)
        ]
        self._want(not wrong, f"{what} has changed\n" + "\n".join(wrong))

    def _check_apply(
        self,
        before: dict[str, tuple[Any, ...]],
        after: dict[str, tuple[Any, ...]],
        action: str,
        options: list[str],
        protect: str | None,
    ) -> None:
        self._want("Traceback" not in self.said, self.said)
        if "--keep-metadata" in options:
            self._learn_merged(before, after)
        everything, now = self.contents(after), self.shown(after)
        gone_for_good = {one for one in self.contents(before) - everything if one in self.known}
        self._want(
            action == "delete" or not gone_for_good, f"{action} has lost {[self.known[one] for one in gone_for_good]}"
        )
        kept = [self.known[one] for one in now if one in self.known]
        for digest in self.shown(before) - now:
            if digest not in self.known:  # a sidecar, or what a metadata merge has replaced
                self._want("--sidecars" in options or "--keep-metadata" in options, f"{digest} has gone")
                continue
            content = self.known[digest]
            self._want("--only-identical" not in options, f"{content} has gone, and no file has the same bytes")
            near = [
                one
                for one in kept
                if one.family == content.family
                and (one.scene == content.scene or ("--include" in options and content.scene != "animated"))
                and content.extras <= one.extras | ({"transparency"} if "--give-up" in options else set())
            ]
            self._want(bool(near), f"{content} has gone, and nothing like it is kept")
        fixed = [self.outside] + ([Path(protect)] if protect is not None else [])
        if self.sides == 2 and "--both-sides" not in options:
            fixed.append(self.base / SIDES[0])
        for top in fixed:
            for path, one in before.items():
                if Path(path).parent.resolve().is_relative_to(top.resolve()):
                    mine = after.get(path)
                    same = mine is not None and (mine[:6] == one[:6] or "--keep-metadata" in options)
                    self._want(same, f"{path!a} was to stay as it is: {one}\n now {mine}")
        partial = [path for path in after if ".fastdiff-" in path]
        self._want(not partial, f"left over: {partial}")
        self.lost |= {one: self.known[one] for one in gone_for_good}
        self._still_shown(after)

    def _still_shown(self, after: dict[str, tuple[Any, ...]]) -> None:
        there = {(self.known[one].family) for one in self.contents(after) if one in self.known}
        for digest, content in self.lost.items():
            self._want(content.family in there, f"{content} ({digest}) has gone for good, and nothing shows it")

    def _learn_merged(self, before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> None:
        """Files into which a date was written show what they showed."""
        for path, one in after.items():
            was = before.get(path)
            if was and was[0] != one[0] and stat.S_ISREG(one[2]) and stat.S_ISREG(was[2]) and one[0] not in self.known:
                self.known[one[0]] = self.known[was[0]]

    # -- what the user does meanwhile --------------------------------------------------------------------------------

    def meddle(self, what: str, number: int, other: int) -> None:
        """Rename, remove, overwrite or touch a file, or exchange two; what is lost by that is not ours."""
        there = [path for path in sorted(self.snapshot()) if not path.startswith(str(self.base / "data"))]
        if not there:
            return
        path, second = Path(there[number % len(there)]), Path(there[other % len(there)])
        with contextlib.suppress(OSError, shutil.SameFileError):
            if what == "rename":
                path.rename(path.with_name(f"renamed {path.name}"))
            elif what == "remove":
                path.unlink()
            elif what == "overwrite":
                status = path.stat()
                shutil.copyfile(second, path)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            elif what == "touch":
                os.utime(path)
            elif what == "exchange":
                aside = path.with_name("aside")
                path.rename(aside)
                second.rename(path)
                aside.rename(second)
        self.forgive()

    def forgive(self) -> None:
        """Take out of the account what the user has removed."""
        there = {self.known[one].family for one in self.contents(self.snapshot()) if one in self.known}
        self.lost = {digest: content for digest, content in self.lost.items() if content.family in there}


@contextlib.contextmanager
def surroundings(base: Path) -> Iterator[None]:
    """Journals, trash and cache of a world."""
    before = {name: os.environ.get(name) for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME")}
    os.environ |= {"XDG_DATA_HOME": str(base / "data"), "XDG_CACHE_HOME": str(base / "cache")}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def live(world: World, files: list[FileSpec], steps: list[tuple[Any, ...]]) -> None:
    """Make the files of a world, and do the steps; raises `LostError` if a picture is lost by them."""
    for spec in files:
        world.make(spec)
    world.find(1 + (bool(steps) and steps[0][0] == "against"), 200.0)
    for step in steps:
        world.trace.append(repr(step))
        match step:
            case ("find" | "against" as sides, threshold):
                world.find(1 + (sides == "against"), threshold)
            case ("apply", action, options, protect, back):
                before = world.snapshot()
                there = protect is not None and (world.base / protect).is_dir()
                done = world.apply(action, list(options), protect=str(world.base / protect) if there else None)
                if back and done and action not in ("delete", "copy") and "--keep-metadata" not in options:
                    after, code = world.undo()
                    world._want(code == 0, f"undo: exit code {code}")
                    world.check_equal(before, after, f"undo of {action}")
            case ("undo",):
                world.undo()
            case ("meddle", what, number, other):
                world.meddle(what, number, other)


SHM = Path("/dev/shm")
NUMBER = st.integers(0, 40)
HOW = st.sampled_from(["new"] * 5 + ["copy"] * 4 + ["hard link"] * 2 + ["link", "folder link"])
FILES = st.lists(
    st.builds(
        FileSpec,
        *(st.integers(0, 2), st.sampled_from(FORMS), st.integers(0, 5), NUMBER, NUMBER, st.sampled_from([0, 0, 1, 2])),
        *(HOW, NUMBER, st.booleans(), st.booleans()),
    ),
    min_size=3,
    max_size=14,
)
OPTIONS = st.lists(
    st.sampled_from(
        [
            *(("--include", "similar"), ("--only-identical",), ("--both-sides",), ("--sidecars", "move")),
            *(("--keep", "oldest"), ("--keep", "newest"), ("--keep", "largest"), ("--keep", "shortest-path")),
            *(("--keep", "smallest"), ("--keep", "not-regex=[0-4]"), ("--keep", "format=png")),
            *(("--give-up", "transparency"), ("--keep-metadata",), ("--keep", "most-pixels")),
        ]
    ),
    max_size=3,
    unique=True,
).map(lambda options: tuple(itertools.chain(*options)))
PROTECT = st.sampled_from([None, None, None, "photos", "photos/more", "photos/linked", "incoming", "photos/less/deep"])
APPLY = st.tuples(st.just("apply"), st.sampled_from(ACTIONS), OPTIONS, PROTECT, st.booleans())
MEDDLE = st.tuples(
    st.just("meddle"), st.sampled_from(["rename", "remove", "overwrite", "touch", "exchange"]), NUMBER, NUMBER
)
FIND = st.tuples(st.sampled_from(["find", "find", "against"]), st.sampled_from([200.0, 20.0, 2000.0]))
STEPS = st.lists(st.one_of(APPLY, APPLY, APPLY, FIND, st.just(("undo",)), MEDDLE, MEDDLE), min_size=1, max_size=7)


def attempt(client: Any, files: list[FileSpec], steps: list[tuple[Any, ...]], base: Path | None = None) -> None:
    """Make a world and let it live; in a folder of its own, or in one below which mounts are."""
    place = Path(tempfile.mkdtemp(prefix="fastdiff-losing-")) if base is None else base
    elsewhere = Path(tempfile.mkdtemp(prefix="fastdiff-losing-", dir=SHM if SHM.is_dir() else None))
    world = World(place, elsewhere, client, seen_twice=base is not None)
    try:
        with surroundings(place):
            live(world, files, steps)
    finally:
        if base is None:
            shutil.rmtree(place, ignore_errors=True)
        else:
            world.empty()
        shutil.rmtree(elsewhere, ignore_errors=True)


def try_to_lose(client: Any, examples: int, number: int, base: Path | None = None) -> None:
    """Try with so many worlds; what is found is shown as it is, since a smaller one would take minutes to find."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(files=FILES, steps=STEPS)
    def once(files: list[FileSpec], steps: list[tuple[Any, ...]]) -> None:
        attempt(client, files, steps, base)

    once()
