"""The folders of a collection as the user named them: paths, or fsspec URLs."""

import os
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError
from ...text import printable
from ...urls import check_address, describe, file_system, is_url, is_within

__all__ = ["Root", "resolve_roots"]


class Root(NamedTuple):
    """A folder to search, or on side b a file.

    Attributes
    ----------
    side
        "a" or "b".
    given
        The folder or file as the user wrote it; results name files below it.
    absolute
        The folder as the store records it: symbolic links resolved, a URL without a slash at its end.
    """

    side: str
    given: str
    absolute: str


def resolve_roots(directories: dict[str, list[str]]) -> list[Root]:
    """Check the folders of both sides: paths, or fsspec URLs; on side b files of this machine as well.

    Raises
    ------
    UsageError
        If a folder is missing, is none, cannot be read, or lies within a folder of the other side.
    """
    roots: list[Root] = []
    for side, given_paths in directories.items():
        for given in given_paths:
            file = _checked_file(given) if side == "b" else None
            absolute = file or _checked_folder(given, "folder or file" if side == "b" else "folder")
            if os.fsdecode(os.fsencode(absolute)).encode("utf-8", "replace") != os.fsencode(absolute):
                raise UsageError(f"the name of folder {printable(absolute)!r} is not UTF-8; rename it")
            if (side, absolute) not in [(root.side, root.absolute) for root in roots]:
                roots.append(Root(side, given if is_url(absolute) else os.path.expanduser(given), absolute))  # noqa: PTH111
    for a, b in product(roots, roots):
        if a.side < b.side and (is_within(a.absolute, b.absolute) or is_within(b.absolute, a.absolute)):
            raise UsageError(
                f"folder {a.given!r} and folder {b.given!r} of the other side are the same or one is inside the "
                f"other, so that files would be compared with themselves; name separate folders, or a file by like="
            )
    return sorted(roots, key=lambda root: (root.side, root.absolute))


def _checked_file(given: str) -> str | None:
    """Give the absolute path of a file that can be read; None for what is no file."""
    if not given or is_url(given):
        return None
    try:
        path = Path(os.path.expanduser(given)).resolve(strict=True)  # noqa: PTH111
        if not path.is_file():
            return None
        with path.open("rb"):
            return str(path)
    except PermissionError as error:
        raise UsageError(
            f"file {printable(given)!r} cannot be read ({error.strerror}); check its permissions"
        ) from None
    except (OSError, ValueError, RuntimeError):
        return None  # told as of a folder


def _checked_folder(given: str, what: str) -> str:
    """Give the absolute path of a folder; refuse one that cannot be listed, as `what` it might have been."""
    if not given:
        raise UsageError("the name of a folder is empty; use . for the current one")
    if is_url(given):
        return _checked_url(given)
    try:
        absolute = Path(os.path.expanduser(given)).resolve(strict=True)  # noqa: PTH111
        with os.scandir(absolute):
            return str(absolute)
    except FileNotFoundError:
        raise UsageError(f"no {what} {printable(given)!r}; check the path, or mount its disk") from None
    except NotADirectoryError:
        raise UsageError(f"{printable(given)!r} is not a folder; name the folder that it is in") from None
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a null byte; RuntimeError: no such user's home
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"folder {printable(given)!r} cannot be read ({reason}); check its permissions") from None


def _checked_url(given: str) -> str:
    """Give a URL without a slash at its end, or the path if it is local; refuse one that is no folder."""
    check_address(given)
    url = given.rstrip("/") if given.rstrip("/")[-1] != ":" else given
    fs, path = file_system(url)
    if isinstance(fs, _local_file_system()):
        return _checked_folder(path, "folder")
    try:
        # one request; a listing may take thousands
        if fs.info(path)["type"] != "directory" and not fs.isdir(path):
            raise UsageError(f"{printable(given)!r} is not a folder; name the folder that it is in")
    except FileNotFoundError:
        raise UsageError(f"no folder {printable(given)!r}, or nothing in it; check the address") from None
    except UsageError:
        raise
    except Exception as error:  # whatever a backend raises
        raise UsageError(
            f"folder {printable(given)!r} cannot be read ({describe(error)}); check the address, the credentials and "
            f"the network"
        ) from None
    return url


def _local_file_system() -> type:
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem
