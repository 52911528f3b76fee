"""A plan of what may go → done, with a journal to bring it back; each pair is read and compared again just before."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .actions import (
    Outcome,
    Record,
    Removal,
    Seen,
    StaysError,
    check_pair,
    delete_files,
    link_files,
    move_files,
    put_back,
    remove_leftovers,
    replace_content,
    trash_files,
)
from .catalog import full_path
from .choosing import Chosen, Plan
from .config import CompareSettings
from .decoder import ListedFile, Request
from .errors import UsageError
from .images import ImageRecord
from .journals import History, Journal, acting, new_journal, place_of, read_journal
from .measures import apply_measure, resolve_measure
from .merging import NotMergedError, check_merging, merged
from .metrics import available_transforms, transformed_squared_errors
from .readers import close_readers, reader
from .remote import is_url
from .store import Store

__all__ = ["ACTIONS", "apply_plan", "undo"]

ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")
_BUILT_IN = ("ssim", "hamming")


def apply_plan(
    store: Store,
    plan: Plan,
    settings: CompareSettings,
    action: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    keep_metadata: bool = False,
) -> Iterator[Outcome]:
    """Do what a plan says, a file at a time; what cannot be done is an outcome with the reason, and stops nothing else.

    A file goes if it and the one that is kept for it are there, are two files and no links, have the size and the time
    of modification that were listed and the content that was compared, and are similar when they are read again now;
    and if no earlier call speaks against it, see `journals.History`. One process of a user does this at a time.

    Parameters
    ----------
    store, plan, settings
        The store, the plan for it, and what was compared.
    action
        One of `ACTIONS`.
    folder
        Where to move to; made if it is not there.
    keep_metadata
        Before a JPEG file goes, copy its capture date and GPS position into that which is kept, where this is a JPEG
        file without, see `merging.merged`; its thumbnail must be the same after that. `undo` does not take it back.

    Raises
    ------
    UsageError
        If the action, or the folder, cannot be used.
    FastDiffError
        If another process is at work.
    """
    if action not in ACTIONS:
        raise UsageError(f"no action {action!r}; use {', '.join(ACTIONS)}")
    if (folder is None) == (action == "move"):
        raise UsageError("name a folder to move to" if folder is None else f"{action} needs no folder; leave it out")
    for one in plan.chosen:
        if is_url(one.path) or is_url(one.kept):
            raise UsageError(f"{one.path} is no file of this machine; images behind addresses are left alone")
    if folder is not None and not os.fspath(folder):
        raise UsageError("the folder to move to has no name; name one")
    if folder is not None:
        folder = os.path.abspath(folder)  # noqa: PTH100 - a journal is undone from anywhere
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} is no folder and cannot be one: {error.strerror}; name another one") from None
    if keep_metadata:
        check_merging()
    removals = _removals(store, plan)
    names = {removal.file.path: one.path for removal, one in removals.items()}
    return _apply(store, removals, names, settings, action, folder, keep_metadata)


def _apply(
    store: Store,
    removals: "dict[Removal, Chosen]",
    names: dict[str, str],
    settings: CompareSettings,
    action: str,
    folder: str | os.PathLike[str] | None,
    keep_metadata: bool,
) -> Iterator[Outcome]:
    if not removals:
        return
    verifier = _Verifier(store, removals, settings, keep_metadata)
    with acting():
        verifier.history = History(folder=folder)
        record = Record(new_journal(store.url), verifier.digests)
        verifier.record = record
        places = [seen.path for removal in removals for seen in removal]
        remove_leftovers([os.path.dirname(path) for path in places] + ([] if folder is None else [folder]))  # noqa: PTH120
        with Store.lock(store.url) if keep_metadata else contextlib.nullcontext():
            try:
                for outcome in _act(store, removals, verifier, record, action, folder):
                    # under the name that the user knows
                    yield outcome._replace(path=names.get(outcome.path, outcome.path))
            finally:
                if verifier.changed:
                    verifier.remember()


def _act(
    store: Store,
    removals: "dict[Removal, Chosen]",
    verifier: "_Verifier",
    record: Record,
    action: str,
    folder: str | os.PathLike[str] | None,
) -> Iterator[Outcome]:
    try:
        record.add("begin", store.url, command=action)
        if action == "move":
            outcomes = move_files(removals, str(folder), record, verifier.verify)
        elif action == "trash":
            outcomes = trash_files(removals, record, verifier.verify)
        elif action == "delete":
            outcomes = delete_files(removals, record, verifier.verify)
        else:
            # a link holds what the file is then
            verifier.merge_all()
            outcomes = link_files(removals, action, record, verifier.verify, verifier.digests)
        yield from outcomes
    finally:
        record.close()
        close_readers()


def _removals(store: Store, plan: Plan) -> "dict[Removal, Chosen]":
    """What may go, as it was listed: the last metadata of each image, and its place whatever the current folder is."""
    numbers = np.array(sorted({number for one in plan.chosen for number in (one.image, one.kept_image)}), np.int64)
    seen: dict[int, Seen] = {}
    for row in store.image_rows(numbers, ["image", "root", "path", "path_bytes", "size", "mtime_ns"]).itertuples():
        path = os.path.abspath(full_path(row.root, row.path, row.path_bytes))  # noqa: PTH100
        seen[row.image] = Seen(path, int(row.size), int(row.mtime_ns))
    return {Removal(seen[one.image], seen[one.kept_image]): one for one in plan.chosen}


class _Verifier:
    """Reads the two images of a pair again and compares them."""

    def __init__(
        self, store: Store, removals: "dict[Removal, Chosen]", settings: CompareSettings, keep_metadata: bool
    ) -> None:
        self._store, self._settings, self._keep_metadata = store, settings, keep_metadata
        # by their paths: the state of a file to keep changes when it gets a date
        self._chosen = {removal.file.path: one for removal, one in removals.items()}
        self._removals, self._kept = list(removals), dict[int, Seen]()
        self.history, self.record = History([]), Record("")
        # files that were kept and have another content now: their numbers, and what they had
        self.changed: dict[int, str] = {}
        numbers = sorted({number for one in removals.values() for number in (one.image, one.kept_image)})
        found = store.image_rows(np.array(numbers, np.int64), ["content_hash"]).content_hash
        self._hashes = dict(zip(numbers, found.tolist(), strict=True))

    def digests(self, removal: Removal) -> tuple[str, str]:
        """SHA-256 of both files, which `verify` has seen to be theirs now."""
        one = self._chosen[removal.file.path]
        return self._hashes[one.image], self._hashes[one.kept_image]

    def verify(self, removal: Removal) -> Removal:
        """See that a pair is what was compared, and is similar; gives it as it is then.

        Raises
        ------
        StaysError
            If not.
        """
        one = self._chosen[removal.file.path]
        removal = removal._replace(kept=self._kept.get(one.kept_image, removal.kept))
        check_pair(removal)
        place, kept = (place_of(seen.path) for seen in removal)
        if self.history.is_aside(kept):
            raise StaysError(
                f"the file to keep, {removal.kept.path}, lies in a trash, or where such files are moved to"
            )
        if self.history.is_aside(place):
            raise StaysError("it lies in a trash, or where such files are moved to")
        mine, other = self.digests(removal)
        reason = self.history.is_target(place)
        if reason is None and mine != other:
            reason = self.history.why_needed(place, mine)
        if reason is not None:
            raise StaysError(reason)
        thumbnails = []
        for seen, number in zip(removal, (one.image, one.kept_image), strict=True):
            name = "it" if number == one.image else f"the file to keep, {one.kept},"
            content_hash, thumbnail = self._read(seen, name)
            if content_hash != self._hashes[number]:
                raise StaysError(f"{name} has changed since it was compared")
            thumbnails.append(thumbnail)
        value, limit = self._value(*thumbnails)
        if not value <= limit:
            raise StaysError(f"it is not similar to {one.kept} when both are read now")
        return self._merge(removal, one, thumbnails[1]) if self._keep_metadata else removal

    def merge_all(self) -> None:
        """Copy dates and places before the first of several links to a file is made: a link holds what it was then."""
        for removal in self._removals if self._keep_metadata else ():
            with contextlib.suppress(StaysError, OSError):  # is said when its turn comes
                self.verify(removal)

    def _read(self, seen: Seen, name: str) -> tuple[str, Any]:
        """SHA-256 and thumbnail (1, h, w, 3) of a file as it was seen."""
        record, content = self._decoded(ListedFile(os.fsencode(seen.path), seen.size, seen.mtime_ns))
        if record.error:
            raise StaysError(f"{name} cannot be read now ({record.error})")
        return record.content_hash, np.frombuffer(content, np.uint8).reshape(1, *self._store.thumbnail_settings.shape)

    def _decoded(self, listed: ListedFile) -> tuple[ImageRecord, bytes]:
        """A file, or a content, as the store reads it: what is known of it, and its thumbnail."""
        made = self._store.thumbnail_settings
        request = Request([listed], made.width, made.height, made.exact_decode, 2**62, 0.0, ahead=0, at_once=1)
        with reader() as decoder:
            (answer,) = decoder.read(request)
        (record,) = answer.records
        return record, bytes(answer.thumbnails)

    def _merge(self, removal: Removal, one: Chosen, thumbnail: Any) -> Removal:
        """Copy date and place into the file to keep; where that cannot be done, the other one stays."""
        kept = removal.kept
        before = Path(kept.path).read_bytes()
        if hashlib.sha256(before).hexdigest() != self._hashes[one.kept_image]:
            raise StaysError(f"the file to keep, {one.kept}, has changed since it was compared")
        why_not = f"its date or place is not in {one.kept} and cannot be copied:"
        try:
            content = merged(before, Path(removal.file.path).read_bytes())
        except NotMergedError as error:
            raise StaysError(f"{why_not} it {error}") from None
        if content is None:
            return removal
        if one.kept_is_protected:
            raise StaysError(f"{why_not} it is in a protected folder")
        if self.history.is_linked(place_of(kept.path)):
            raise StaysError(f"{why_not} another image was replaced by a link to it, and has to come back as it was")
        record, picture = self._decoded(ListedFile(b"", len(content), 0, content))
        if record.error or picture != thumbnail.tobytes():
            raise StaysError(f"{why_not} its picture would change")
        if not os.access(os.path.dirname(removal.file.path), os.W_OK | os.X_OK):  # noqa: PTH120
            raise StaysError("its folder cannot be written")
        after = hashlib.sha256(content).hexdigest()
        try:
            self.record.add("metadata", kept.path, before=self._hashes[one.kept_image], sha256=after)
            self._kept[one.kept_image] = replace_content(kept, content)
        except StaysError as error:
            self.record.add("stay", kept.path, reason=str(error))
            check_pair(removal)
            raise StaysError(f"{why_not} {error}") from None
        self.changed.setdefault(one.kept_image, self._hashes[one.kept_image])
        self._hashes[one.kept_image] = after
        return removal._replace(kept=self._kept[one.kept_image])

    def remember(self) -> None:
        """Tell the store, which is locked for writing, of the files that have another content now.

        Their pictures are the same, so that nothing is to be read or compared again, and what was decided holds.
        """
        store, size = self._store, self._store.thumbnail_settings.block_size
        for block in sorted({number // size for number in self._kept}):
            frame = store.read_partition(block)
            for number, seen in self._kept.items():
                if number // size == block:
                    row = frame.index[frame.image == number][0]
                    values = [seen.size, seen.mtime_ns, self._hashes[number]]
                    frame.loc[row, ["size", "mtime_ns", "content_hash"]] = values
            store.write_partition(block, frame)
        new = {before: self._hashes[number] for number, before in self.changed.items()}
        pairs = store.read_not_duplicates()
        more = [(new.get(a, a), new.get(b, b)) for a, b in pairs if a in new or b in new]
        if more:
            store.write_not_duplicates(sorted({*pairs, *((min(pair), max(pair)) for pair in more)}))

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


def undo(journal: Journal) -> Iterator[Outcome]:
    """Bring back everything that a journal tells of, the last file first; it can be called again after a kill.

    Raises
    ------
    FastDiffError
        If another process is at work, see `journals.acting`.
    """
    with acting():
        lines = read_journal(journal.path).actions  # another process may have brought some back meanwhile
        places = [str(line[name]) for line in lines for name in ("path", "to") if name in line]
        remove_leftovers(os.path.dirname(place) for place in places)  # noqa: PTH120
        with journal.path.open("ab") as file:
            ended = journal.path.read_bytes().endswith(b"\n")
            for outcome in put_back(lines):
                if outcome.reason is None:
                    # of what was moved, the outcome names where it was, and where it is
                    line = json.dumps({"action": "undone", "path": outcome.to}).encode()
                    file.write((b"" if ended else b"\n") + line + b"\n")
                    ended = True
                    file.flush()
                    os.fsync(file.fileno())
                yield outcome
