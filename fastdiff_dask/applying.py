"""A plan of what may go → done, with a journal to bring it back; each pair is read and compared again just before.

Journals are in the user's own data folder, one for each call, never in a store: a store may come from someone else, and
what a journal says is done to files when it is undone.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs

from .actions import (
    Outcome,
    Record,
    Removal,
    Seen,
    StaysError,
    delete_files,
    link_files,
    move_files,
    put_back,
    trash_files,
)
from .choosing import Chosen, Plan
from .config import CompareSettings
from .decoder import ListedFile, Request
from .errors import UsageError
from .measures import apply_measure, resolve_measure
from .metrics import available_transforms, transformed_squared_errors
from .readers import close_readers, reader
from .remote import is_url
from .store import Store

__all__ = ["ACTIONS", "Journal", "apply_plan", "journals", "undo"]

ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")
_BUILT_IN = ("ssim", "hamming")


class Journal(NamedTuple):
    """What a call did.

    Attributes
    ----------
    path
        The file.
    store
        Address of the store that it was about.
    lines
        What was done and is not undone, see `actions.Record`.
    """

    path: Path
    store: str
    lines: list[dict[str, Any]]


def apply_plan(
    store: Store, plan: Plan, settings: CompareSettings, action: str, folder: str | os.PathLike[str] | None = None
) -> Iterator[Outcome]:
    """Do what a plan says, a file at a time; what cannot be done is an outcome with the reason, and stops nothing else.

    A file goes if it and the one that is kept for it are there, are two files and no links, have the size and the time
    of modification that were listed and the content that was compared, and are similar when they are read again now.

    Parameters
    ----------
    store, plan, settings
        The store, the plan for it, and what was compared.
    action
        One of `ACTIONS`.
    folder
        Where to move to; made if it is not there.

    Raises
    ------
    UsageError
        If the action, or the folder, cannot be used.
    """
    if action not in ACTIONS:
        raise UsageError(f"no action {action!r}; use {', '.join(ACTIONS)}")
    if (folder is None) == (action == "move"):
        raise UsageError("name a folder to move to" if folder is None else f"{action} needs no folder; leave it out")
    for one in plan.chosen:
        if is_url(one.path) or is_url(one.kept):
            raise UsageError(f"{one.path} is no file of this machine; images behind addresses are left alone")
    if folder is not None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} is no folder and cannot be one: {error.strerror}; name another one") from None
    removals = _removals(store, plan)
    return _apply(store, removals, settings, action, folder)


def _apply(
    store: Store,
    removals: "dict[Removal, Chosen]",
    settings: CompareSettings,
    action: str,
    folder: str | os.PathLike[str] | None,
) -> Iterator[Outcome]:
    verifier = _Verifier(store, removals, settings)
    record = Record(_new_journal(store.url)) if removals else None
    if record is None:
        return
    try:
        record.add("begin", store.url, command=action)
        if action == "move":
            outcomes = move_files(removals, str(folder), record, verifier.verify)
        elif action == "trash":
            outcomes = trash_files(removals, record, verifier.verify)
        elif action == "delete":
            outcomes = delete_files(removals, record, verifier.verify)
        else:
            outcomes = link_files(removals, action, record, verifier.verify, verifier.digests)
        yield from outcomes
    finally:
        record.close()
        close_readers()


def _removals(store: Store, plan: Plan) -> "dict[Removal, Chosen]":
    """What may go, as it was listed: the last metadata of each image."""
    numbers = sorted({number for one in plan.chosen for number in (one.image, one.kept_image)})
    times: dict[int, tuple[int, int]] = {}
    size = store.thumbnail_settings.block_size
    for block in sorted({number // size for number in numbers}):
        frame = store.read_partition(block, ["image", "size", "mtime_ns"]).set_index("image")
        for number in numbers:
            if number // size == block:
                times[number] = int(frame["size"][number]), int(frame.mtime_ns[number])
    return {
        Removal(Seen(one.path, *times[one.image]), Seen(one.kept, *times[one.kept_image])): one for one in plan.chosen
    }


class _Verifier:
    """Reads the two images of a pair again and compares them."""

    def __init__(self, store: Store, removals: "dict[Removal, Chosen]", settings: CompareSettings) -> None:
        self._store, self._removals, self._settings = store, removals, settings
        self._hashes: dict[int, str] = {}
        numbers = {number for one in removals.values() for number in (one.image, one.kept_image)}
        size = store.thumbnail_settings.block_size
        for block in sorted({number // size for number in numbers}):
            frame = store.read_partition(block, ["image", "content_hash"])
            wanted = frame[frame.image.isin(numbers)]
            self._hashes |= dict(zip(wanted.image.tolist(), wanted.content_hash.tolist(), strict=True))

    def digests(self, removal: Removal) -> tuple[str, str]:
        """SHA-256 of both files, which `verify` has seen to be theirs now."""
        one = self._removals[removal]
        return self._hashes[one.image], self._hashes[one.kept_image]

    def verify(self, removal: Removal) -> None:
        """See that a pair is what was compared, and is similar.

        Raises
        ------
        StaysError
            If not.
        """
        one, made = self._removals[removal], self._store.thumbnail_settings
        files = [ListedFile(os.fsencode(seen.path), seen.size, seen.mtime_ns) for seen in removal]
        request = Request(files, made.width, made.height, made.exact_decode, 2**62, 0.0, ahead=0, at_once=1)
        thumbnails = []
        with reader() as decoder:
            for number, answer in zip((one.image, one.kept_image), decoder.read(request), strict=True):
                name = "it" if number == one.image else f"the file to keep, {one.kept},"
                (record,) = answer.records
                if record.error:
                    raise StaysError(f"{name} cannot be read now ({record.error})")
                if record.content_hash != self._hashes[number]:
                    raise StaysError(f"{name} has changed since it was compared")
                thumbnails.append(np.frombuffer(answer.thumbnails, np.uint8).reshape(1, *made.shape))
        value, limit = self._value(*thumbnails)
        if not value <= limit:
            raise StaysError(f"it is not similar to {one.kept} when both are read now")

    def _value(self, a: Any, b: Any) -> tuple[float, float]:
        """The value of a pair, and the largest one of a similar pair."""
        settings = self._settings
        height, width, _ = a.shape[1:]
        transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
        if settings.measure == "mse":
            errors, _ = transformed_squared_errors(a, b, transforms)
            return int(errors[0, 0]), settings.sse_limit(height, width)
        if settings.measure in _BUILT_IN:
            values, _ = apply_measure(resolve_measure(settings.measure), a, b, transforms)
            return float(values[0, 0]), settings.similarity_threshold
        # a function that is not here: with the content that was compared, its value is the one that was found
        return 0.0, 0.0


# -- journals ----------------------------------------------------------------------------------------------------------


def _folder() -> Path:
    return Path(platformdirs.user_data_dir("fastdiff_dask")) / "actions"


def _new_journal(store: str) -> Path:
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"no journal can be written in {folder}: {error.strerror}; set XDG_DATA_HOME to a folder of yours"
        ) from None
    digest = hashlib.blake2b(store.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return (
        folder / f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09}-{digest}-{uuid.uuid4().hex[:6]}.jsonl"
    )


def journals(store: str | None = None) -> list[Journal]:
    """The journals of this user, of one store or of all, that have something to undo; the oldest first.

    The last line may be cut off by a kill; what it was about to tell of did not begin.
    """
    found = []
    for path in sorted(_folder().glob("*.jsonl")):
        journal = _read(path)
        if journal is not None and store in (None, journal.store) and journal.lines:
            found.append(journal)
    return found


def _read(path: Path) -> Journal | None:
    lines: list[dict[str, Any]] = []
    store = ""
    for text in path.read_bytes().split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        match line.get("action"):
            case "begin":
                store = str(line["path"])
            case "stay":
                # takes back what was about to happen to this file
                if lines and lines[-1]["path"] == line["path"]:
                    lines.pop()
                    # a link that was not made after all; the file before it is in the trash, and can come back
            case "undone":
                lines = [one for one in lines if one["path"] != line["path"]]
            case "move" | "trash" | "link" | "delete":
                lines.append(line)
    return Journal(path, store, lines) if store else None


def undo(journal: Journal) -> Iterator[Outcome]:
    """Bring back everything that a journal tells of, the last file first; it can be called again after a kill."""
    with journal.path.open("ab") as file:
        ended = journal.path.read_bytes().endswith(b"\n")
        for outcome in put_back(journal.lines):
            if outcome.reason is None:
                # of what was moved, the outcome names where it was, and where it is
                line = json.dumps({"action": "undone", "path": outcome.to}).encode()
                file.write((b"" if ended else b"\n") + line + b"\n")
                ended = True
                file.flush()
                os.fsync(file.fileno())
            yield outcome
