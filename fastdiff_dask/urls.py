"""URLs of fsspec: their file systems, their parts, and the contents of files behind them.

fsspec and pathlib are imported when they are needed, so that a decoder process which reads local files starts in a
tenth of a second.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .text import one_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "ChangedError",
    "as_os_errors",
    "check_address",
    "clamped",
    "common_folder",
    "describe",
    "fetch",
    "file_system",
    "full_path",
    "is_remote_error",
    "is_url",
    "is_within",
    "join",
    "modified_ns",
    "overlap",
]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECOND = 10**9
_TEXT = 200
# Names under which file systems give the time of modification; some have several kinds of times.
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
# What other processes write must be seen, so no listing is kept.
_LISTING_CACHE = {"s3", "gs", "gcs", "abfs", "az", "abfss", "oss", "http", "https"}
# A server that is gone is to be told within seconds. boto's own defaults wait a minute for it, five times.
_S3_CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 20,
    "retries": {"max_attempts": 2, "mode": "standard"},
    "max_pool_connections": 64,
}
# Kinds of addresses whose package is an extra of this one.
_EXTRAS = {"s3": "s3", "s3a": "s3"}
_PACKAGES = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "s3fs")


class ChangedError(Exception):
    """A file has changed since it was listed."""


def is_url(address: str) -> bool:
    """Tell if an address is a URL of fsspec rather than a path.

    Examples
    --------
    >>> is_url("s3://bucket/photos"), is_url("/photos"), is_url("photos://")
    (True, False, True)
    """
    return _URL.match(address) is not None


def join(root: str, path: str) -> str:
    """Join the folder or URL of a root with the path of a file; an empty path is the root itself, a file.

    Keys of objects may begin with a slash.

    Examples
    --------
    >>> join("s3://bucket", "a.jpg"), join("/photos", "a.jpg")
    ('s3://bucket/a.jpg', '/photos/a.jpg')
    """
    if not path:
        return root
    return f"{root.rstrip('/')}/{path}" if is_url(root) else os.path.join(root, path)  # noqa: PTH118


def common_folder(paths: Iterable[str]) -> str:
    """Find the folder that all of some files are in; empty if there is none, or if it is the root.

    Examples
    --------
    >>> common_folder(["/photos/2024/a.jpg", "/photos/2025/b.jpg"]), common_folder(["a.jpg", "b/c.jpg"])
    ('/photos', '')
    >>> common_folder(["s3://bucket/photos/a.jpg", "s3://bucket/photos/b/c.jpg"])
    's3://bucket/photos'
    """
    folders = {path[: path.rfind(_separator(path)) + 1] for path in paths}
    # with slashes at their ends, the first and the last one in order have no more in common than all; without, "a" and
    # "a/b" would hide "a b"
    same = os.path.commonprefix([min(folders, default=""), max(folders, default="")])  # noqa: RUF071 - cut at a slash below
    folder = same[: max(same.rfind(_separator(same)), 0)]
    return "" if not folder.strip("/") or folder.endswith((":", ":/")) else folder


def _separator(path: str) -> str:
    return "/" if is_url(path) else os.sep


def check_address(address: str) -> None:
    """Refuse a URL that cannot be joined with the path of a file, or that would be recorded with a password in it.

    Raises
    ------
    UsageError
        If the address is such a URL.

    Examples
    --------
    >>> check_address("s3://bucket/photos")
    """
    if not is_url(address):
        return
    host = address.split("://", 1)[1].split("/", 1)[0]
    if "@" in host and ":" in host.rsplit("@", 1)[0]:
        hidden = f"{address.split('://', 1)[0]}://…@{host.rsplit('@', 1)[1]}"
        raise UsageError(
            f"the address {hidden} has a password in it, which would end up in the store; put it into fsspec's "
            f"configuration or the environment"
        )
    if "::" in address or "?" in address or "#" in address:
        raise UsageError(f"{address} is no simple address of a folder; name one like s3://bucket/folder")


def file_system(address: str, *, asynchronous: bool = False) -> tuple["AbstractFileSystem", str]:
    """File system of a path or URL, and the path within it; one for all threads of a process.

    Credentials and endpoints are those of fsspec's own configuration and of the package behind it.

    Raises
    ------
    UsageError
        If the kind of URL is not known, its package is missing, or it cannot be set up.
    """
    if asynchronous:
        return _asynchronous(address, os.getpid())
    return _file_system(address)


@lru_cache(maxsize=64)
def _asynchronous(address: str, process: int) -> tuple["AbstractFileSystem", str]:
    # fsspec would make one for each thread, and a connection with it; all of them are used in Zarr's loop
    fs, path = _file_system(address, asynchronous=True)
    if not fs.async_impl:
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        fs = AsyncFileSystemWrapper(fs, asynchronous=True)
    return fs, path


def _file_system(address: str, **more: Any) -> tuple["AbstractFileSystem", str]:
    from fsspec.config import conf
    from fsspec.core import url_to_fs

    match = _URL.match(address)
    protocol = match[1].lower() if match else "file"
    options: dict[str, Any] = {}
    if protocol in _LISTING_CACHE or protocol in _EXTRAS:
        options["use_listings_cache"] = False
    if protocol in _EXTRAS:
        options["config_kwargs"] = _S3_CONFIG | conf.get("s3", {}).get("config_kwargs", {})
        # one request for an object, not another one before it for its size, nor parts of what was replaced in between
        options["max_concurrency"] = 1
    # fsspec takes "::" for the end of one address and the begin of another, and keys of objects may have it
    head = address.split("::", 1)[0]
    try:
        fs, path = url_to_fs(head, **options, **more)
        if head != address:
            path = str(fs._strip_protocol(address))
    except ImportError as error:
        remedy = f"pip install 'fastdiff_dask[{_EXTRAS[protocol]}]'" if protocol in _EXTRAS else _brief(error)
        raise UsageError(f"a package is missing to use {address}: {remedy}") from None
    except Exception as error:  # whatever a backend raises when it cannot be set up
        raise UsageError(f"the address {address} cannot be used: {_brief(error)}") from None
    return fs, path


def clamped(nanoseconds: int) -> int:
    """Clamp a time to what 64 bits hold, from 1677 to 2262: NTFS begins with 1601, and ext4 goes to 2446.

    Examples
    --------
    >>> clamped(5), clamped(10**19) == 2**63 - 1, clamped(-(10**19)) == 1 - 2**63
    (5, True, True)
    """
    return min(max(nanoseconds, 1 - 2**63), 2**63 - 1)


def modified_ns(info: dict[str, Any]) -> int:
    """Time of modification in nanoseconds, from the facts that a file system has of a file; 0 if it has none.

    Examples
    --------
    >>> modified_ns({"mtime": 1.5}), modified_ns({"updated": "1970-01-01T00:00:02.000Z"}), modified_ns({})
    (1500000000, 2000000000, 0)
    """
    for name in _MODIFIED:
        value = info.get(name)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
            # integers: a float has no room for nanoseconds
            return clamped(((since.days * 86400 + since.seconds) * 10**6 + since.microseconds) * 1000)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            # a float has no more digits, and another call may give the same time as a date
            return clamped(round(value * 10**6) * 1000)
    return 0


def fetch(url: str, size: int, mtime_ns: int) -> bytes:
    """Read a whole file, and check that it has not changed since it was listed.

    Parameters
    ----------
    url
        Its URL.
    size, mtime_ns
        Bytes, and time of modification in nanoseconds, as they were listed. Some servers give the time in seconds for
        one file, and more exactly in listings: then seconds are compared. Unknown times are not compared.

    Returns
    -------
    The content.

    Raises
    ------
    ChangedError
        If it has changed.
    Exception
        As the file system raises it, if the file cannot be read.
    """
    fs, path = file_system(url)
    content = bytes(fs.cat_file(path))
    # asked for afterwards: a change before or during the reading shows
    found = modified_ns(fs.info(path)) if mtime_ns else 0
    if len(content) != size or not _same_time(found, mtime_ns):
        raise ChangedError
    return content


def _same_time(a: int, b: int) -> bool:
    whole = a % _SECOND == 0 or b % _SECOND == 0
    return not a or not b or a == b or (whole and a // _SECOND == b // _SECOND)


def describe(error: BaseException) -> str:
    """Describe in one line an error of reading, without addresses, ports and numbers: the same in every run."""
    if isinstance(error, FileNotFoundError):
        return "FileNotFoundError: No such file or directory"
    if isinstance(error, PermissionError):
        return "PermissionError: Permission denied"
    return re.sub(r"[\"']?\bhttps?://\S+|\b0x[0-9a-f]+|\b[0-9A-Za-z/+=_-]{24,}", "…", _brief(error))


def is_remote_error(error: BaseException) -> bool:
    """Tell if an error came from a package behind fsspec: of a lost server, or of missing credentials."""
    return type(error).__module__.split(".")[0] in _PACKAGES


@contextlib.contextmanager
def as_os_errors(url: str) -> Iterator[None]:
    """Turn every error of a backend into an OSError with the address."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not is_remote_error(error):
            raise
        raise OSError(f"{url} cannot be reached ({_brief(error)})") from None


def _brief(error: BaseException) -> str:
    return one_line(error, _TEXT, kind=True)


def is_within(path: str, folder: str) -> bool:
    """Tell if a path or URL is a folder, or is in it.

    Examples
    --------
    >>> is_within("/photos/2024", "/photos"), is_within("/photos2", "/photos"), is_within("s3://bucket", "/photos")
    (True, False, False)
    """
    if is_url(path) != is_url(folder):
        return False
    if not is_url(path):
        from pathlib import Path

        return Path(path).is_relative_to(folder)
    (one, inner), (other, outer) = file_system(path), file_system(folder)
    # of servers whose name is no part of the path, the file system differs
    return one == other and f"{inner.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")


def overlap(one: str, other: str) -> bool:
    """Tell if one of two folders or URLs is the other, or is in it, by whatever names.

    Examples
    --------
    >>> overlap("/photos/./2024", "/photos"), overlap("memory:///a", "memory://a/"), overlap("/photos", "/phot")
    (True, True, False)
    """
    from pathlib import Path

    places = [str(Path(address).resolve()) if not is_url(address) else address for address in (one, other)]
    return is_within(*places) or is_within(*places[::-1])


def full_path(root: str, path: str, path_bytes: bytes = b"") -> str:
    """Path or URL of an image, from its metadata.

    Examples
    --------
    >>> full_path("/photos", "2024/a.jpg"), full_path("s3://bucket", "a.jpg")
    ('/photos/2024/a.jpg', 's3://bucket/a.jpg')
    """
    return join(root, os.fsdecode(path_bytes) if path_bytes else path)
