"""A removal plan carried out, with a journal to undo it; each pair is read and compared again just before."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..config import CompareSettings
from ..errors import UsageError
from ..images.decoder_pool import close_readers
from ..images.exif_merge import check_merging
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..urls import full_path, is_url
from .action import Action, check_action
from .choice import Chosen
from .disk import remove_leftovers
from .files.commands import run_for_files
from .files.copies import Copier, copy_files
from .files.file_moves import delete_files, move_files
from .files.links import link_files
from .files.sidecars import Companions
from .files.targets import Target
from .files.trash import trash_files
from .files.two_files import clear_leftovers
from .history import History
from .journal import Record, acting, new_journal
from .removal_plan import RemovalPlan
from .removals import Outcome, Removal, Seen
from .verify import Verifier

__all__ = ["apply_plan"]


def apply_plan(
    store: Store,
    plan: RemovalPlan,
    settings: CompareSettings,
    action: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    keep_metadata: bool = False,
    sidecars: str = "leave",
    keep_tree: bool = False,
    command: str | Sequence[str] | None = None,
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
        The folder to move or copy to; made if it is not there.
    keep_metadata
        Before a JPEG file goes, copy its capture date and GPS position into the image that is kept, if this is a JPEG
        file without them, see `exif_merge.merged`. Its thumbnail must stay the same. `undo` does not take it back.
    sidecars
        "leave" the sidecars of a file that goes, or "move" them with it, see `sidecars.Companions`.
    keep_tree
        Files lie in the folder as they lie below their roots; else all lie in the folder itself.
    command
        The command to run for each file by "exec", see `commands.parse_command`.

    Returns
    -------
    Outcome of each file, as it goes, and of each sidecar after its file.

    Raises
    ------
    UsageError
        If the action, the folder or the command cannot be used.
    FastDiffError
        If another process is at work.
    """
    for one in plan.chosen:
        if is_url(one.path) or is_url(one.kept):
            raise UsageError(f"{one.path} is no file of this machine; images behind addresses are left alone")
    checked = check_action(
        action, folder, keep_tree=keep_tree, command=command, keep_metadata=keep_metadata, sidecars=sidecars
    )
    checked.make_folder()
    if keep_metadata:
        check_merging()
    removals, below = _removals(store, plan)
    target = None if checked.folder is None else Target(checked.folder, below if keep_tree else None)
    names = {removal.file.path: one.path for removal, one in removals.items()}
    verifier = Verifier(store, removals, settings, keep_metadata, plan.give_up)
    return _apply(store, removals, names, verifier, checked, target, keep_metadata)


def _apply(
    store: Store,
    removals: "dict[Removal, Chosen]",
    names: dict[str, str],
    verifier: Verifier,
    action: Action,
    target: Target | None,
    keep_metadata: bool,
) -> Iterator[Outcome]:
    if not removals:
        return
    with acting():
        clear_leftovers()
        verifier.history = History(folder=action.folder)
        record = Record(new_journal(store.url), verifier.digests, _other_names(store), verifier.why)
        verifier.record = record
        places = [seen.path for removal in removals for seen in removal]
        folders = {os.path.dirname(path) for path in places}  # noqa: PTH120
        remove_leftovers(folders | (set() if target is None else target.places))
        with Store.lock(store.url) if keep_metadata else contextlib.nullcontext():
            try:
                for outcome in _act(store, removals, verifier, record, action, target):
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
    action: Action,
    target: Target | None,
) -> Iterator[Outcome]:
    by_path = {removal.file.path: removal for removal in removals}
    copier = None if target is None else Copier(target, record)
    companions = Companions(action.name, record, copier) if action.with_sidecars else None
    try:
        record.add("begin", store.url, command=action.name)
        if action.name in ("hardlink", "symlink"):
            # a link has the content that its file has at that moment
            verifier.merge_all()
            outcomes = link_files(removals, action.name, record, verifier.verify, verifier.digests)
        elif action.name == "trash":
            outcomes = trash_files(removals, record, verifier.verify)
        elif action.name == "delete":
            outcomes = delete_files(removals, record, verifier.verify)
        elif action.name == "exec":
            outcomes = run_for_files(removals, action.command, record, verifier.verify)
        else:
            assert target is not None
            assert copier is not None
            if action.name == "move":
                outcomes = move_files(removals, target, record, verifier.verify)
            else:
                outcomes = copy_files(removals, copier, record, verifier.verify)
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


def _removals(store: Store, plan: RemovalPlan) -> "tuple[dict[Removal, Chosen], dict[str, str]]":
    """Describe the files that may go by the last metadata of the store, with absolute paths.

    Returns
    -------
    The removals, and for each path of a file its folder below its root.
    """
    numbers = np.array(sorted({number for one in plan.chosen for number in (one.image, one.kept_image)}), np.int64)
    seen: dict[int, Seen] = {}
    below: dict[str, str] = {}
    for row in store.image_rows(numbers, ["image", *FILE_NAME, "size", "mtime_ns"]).itertuples():
        name = full_path(row.root, row.path, row.path_bytes)
        path = os.path.abspath(name)  # noqa: PTH100
        seen[row.image] = Seen(path, int(row.size), int(row.mtime_ns))
        if not is_url(name):
            is_root = path == row.root  # a file that was named
            below[path] = "." if is_root else os.path.relpath(os.path.dirname(path), row.root)  # noqa: PTH120
    return {Removal(seen[one.image], seen[one.kept_image]): one for one in plan.chosen}, below
