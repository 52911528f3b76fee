"""A removal plan carried out, with a journal to undo it; each pair is read and compared again just before."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..config import CompareSettings
from ..errors import UsageError
from ..images.decoder_pool import close_readers
from ..images.exif_merge import check_merging
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..urls import full_path, is_url
from .choice import Chosen
from .disk import remove_leftovers
from .files.file_moves import delete_files, move_files
from .files.links import link_files
from .files.sidecars import CHOICES, Companions
from .files.trash import trash_files
from .files.two_files import clear_leftovers
from .history import History
from .journal import Record, acting, new_journal
from .removal_plan import RemovalPlan
from .removals import Outcome, Removal, Seen
from .verify import Verifier

__all__ = ["ACTIONS", "apply_plan"]

ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")


def apply_plan(
    store: Store,
    plan: RemovalPlan,
    settings: CompareSettings,
    action: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    keep_metadata: bool = False,
    sidecars: str = "leave",
) -> Iterator[Outcome]:
    """Carry out a removal plan, a file at a time; a file that cannot go has the reason in its outcome.

    A file goes if

    - it and the image that is kept for it are two files, and no links;
    - both have the size and the time of modification that were listed, and the content that was compared;
    - both are similar when they are read again now;
    - no earlier call speaks against it, see `history.History`.

    One process of a user does this at a time.

    Parameters
    ----------
    store, plan, settings
        The store, the removal plan for it, and the settings of the comparison.
    action
        One of `ACTIONS`.
    folder
        The folder to move to; made if it is not there.
    keep_metadata
        Before a JPEG file goes, copy its capture date and GPS position into the image that is kept, if this is a JPEG
        file without them, see `exif_merge.merged`. Its thumbnail must stay the same. `undo` does not take it back.
    sidecars
        "leave" the sidecars of a file that goes, or "move" them with it, see `sidecars.Companions`.

    Returns
    -------
    Outcome of each file, as it goes, and of each sidecar after its file.

    Raises
    ------
    UsageError
        If the action, or the folder, cannot be used.
    FastDiffError
        If another process is at work.
    """
    if action not in ACTIONS:
        raise UsageError(f"no action {action!r}; use {', '.join(ACTIONS)}")
    if sidecars not in CHOICES:
        raise UsageError(f"sidecars={sidecars!r} is not known; use {' or '.join(CHOICES)}")
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
    verifier = Verifier(store, removals, settings, keep_metadata, plan.give_up)
    return _apply(store, removals, names, verifier, action, folder, keep_metadata, sidecars == "move")


def _apply(
    store: Store,
    removals: "dict[Removal, Chosen]",
    names: dict[str, str],
    verifier: Verifier,
    action: str,
    folder: str | os.PathLike[str] | None,
    keep_metadata: bool,
    with_sidecars: bool,
) -> Iterator[Outcome]:
    if not removals:
        return
    with acting():
        clear_leftovers()
        verifier.history = History(folder=folder)
        record = Record(new_journal(store.url), verifier.digests, _other_names(store), verifier.why)
        verifier.record = record
        places = [seen.path for removal in removals for seen in removal]
        remove_leftovers([os.path.dirname(path) for path in places] + ([] if folder is None else [folder]))  # noqa: PTH120
        with Store.lock(store.url) if keep_metadata else contextlib.nullcontext():
            try:
                companions = (
                    Companions(action, None if folder is None else str(folder), record) if with_sidecars else None
                )
                for outcome in _act(store, removals, verifier, record, action, folder, companions):
                    # users know the names as they gave them
                    yield outcome._replace(path=names.get(outcome.path, outcome.path))
            finally:
                if verifier.changed:
                    verifier.remember()


def _act(
    store: Store,
    removals: "dict[Removal, Chosen]",
    verifier: "Verifier",
    record: Record,
    action: str,
    folder: str | os.PathLike[str] | None,
    companions: Companions | None,
) -> Iterator[Outcome]:
    by_path = {removal.file.path: removal for removal in removals}
    try:
        record.add("begin", store.url, command=action)
        if action == "move":
            outcomes = move_files(removals, str(folder), record, verifier.verify)
        elif action == "trash":
            outcomes = trash_files(removals, record, verifier.verify)
        elif action == "delete":
            outcomes = delete_files(removals, record, verifier.verify)
        else:
            # a link has the content that its file has at that moment
            verifier.merge_all()
            outcomes = link_files(removals, action, record, verifier.verify, verifier.digests)
        for outcome in outcomes:
            yield outcome
            if companions is not None and outcome.reason is None:
                yield from companions.follow(verifier.as_it_is_now(by_path[outcome.path]), outcome.to)
    finally:
        record.close()
        close_readers()


def _other_names(store: Store) -> Callable[[str], list[str]]:
    """Give a function for the other names of a file (hard links), as far as they were listed."""
    names: dict[str, set[str]] = {}
    for _, root, path, _, same_root, same in store.records.read_index()["links"]:
        if not is_url(root):
            other, listed = (os.path.abspath(full_path(*name)) for name in ((root, path), (same_root, same)))  # noqa: PTH100
            group = names.setdefault(listed, {listed})
            group.add(other)
            names[other] = group
    return lambda path: sorted(names.get(path, set()) - {path})


def _removals(store: Store, plan: RemovalPlan) -> "dict[Removal, Chosen]":
    """Describe the files that may go by the last metadata of the store, with absolute paths."""
    numbers = np.array(sorted({number for one in plan.chosen for number in (one.image, one.kept_image)}), np.int64)
    seen: dict[int, Seen] = {}
    for row in store.image_rows(numbers, ["image", *FILE_NAME, "size", "mtime_ns"]).itertuples():
        path = os.path.abspath(full_path(row.root, row.path, row.path_bytes))  # noqa: PTH100
        seen[row.image] = Seen(path, int(row.size), int(row.mtime_ns))
    return {Removal(seen[one.image], seen[one.kept_image]): one for one in plan.chosen}
