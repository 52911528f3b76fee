"""The workers of a cluster: before any work they are asked for this package, the store, the pictures, and GPUs."""

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Client
from distributed.comm import CommClosedError
from distributed.diagnostics.plugin import UploadFile

from .._version import __version__
from ..errors import FastDiffError, UsageError
from ..kernels.cuda import gpu_name, missing_gpu
from ..storage.files import Files
from ..storage.schema import ARRAYS
from ..text import one_line
from ..urls import file_system, is_url

__all__ = ["Capacity", "capacity", "check_package", "check_visible", "gpu_workers", "is_embedded", "upload_package"]

_SHOWN = 3


class Capacity(NamedTuple):
    """Capacity of the workers: tasks at a time in all, and memory in bytes for each of them (0: no limit)."""

    threads: int
    bytes_per_task: int


def is_embedded(client: Client) -> bool:
    """Tell whether the workers are threads of this process."""
    return bool(client.scheduler.address.startswith("inproc:"))


def check_package(client: Client) -> None:
    """See that all workers have this version of the package.

    Raises
    ------
    UsageError
        If a worker has another version, or none.
    """
    # an expression, because a function of this package could not even be sent to a worker without it
    for worker, found in _on_all(client, eval, "__import__('fastdiff_dask').__version__").items():
        if found == __version__:
            continue
        what = (
            f"fastdiff_dask {found}"
            if isinstance(found, str)
            else f"no fastdiff_dask ({one_line(found, 200, kind=True)})"
        )
        raise UsageError(
            f"worker {worker} has {what}, this process has {__version__}; install that version on all workers, or call "
            f"fastdiff_dask.upload_package(client)"
        )


def upload_package(client: Client) -> None:
    """Give this package, as it is installed here, to all workers, and to those that join later.

    Its dependencies must be installed there. Workers that have used another version must be restarted first
    (``client.restart()``). Workers that are threads of this process need nothing.

    Parameters
    ----------
    client
        The client of the cluster.

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, n_workers=1, dashboard_address="127.0.0.1:0") as client:
    ...     upload_package(client)
    ...     check_package(client)
    """
    if not isinstance(client, Client):
        raise UsageError(f"client={client!r} is no Dask client; use Client('tcp://host:8786') of dask.distributed")
    if is_embedded(client):
        return  # they would import it anew, beside what this process uses
    package = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / f"{package.name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for module in sorted(package.rglob("*.py")):
                file.write(module, module.relative_to(package.parent))
        # `client.upload_file` would import it in the scheduler as well, which may be this process
        client.register_plugin(UploadFile(str(archive)), name="fastdiff_dask")


def check_visible(client: Client, store_url: str | None, paths: Sequence[str]) -> None:
    """See that all workers see the store, and the files that this process sees.

    Workers that are threads of this process are not asked.

    Parameters
    ----------
    client
        The client of the cluster.
    store_url
        Address of the store; None if there is none yet.
    paths
        Folders, files and URLs. Folders and files that this process does not see itself are left out.

    Raises
    ------
    UsageError
        If a worker does not see one of them.
    """
    if is_embedded(client):
        return
    wanted = [os.fsencode(path) for path in paths if is_url(path) or _exists(path)]
    for worker, unseen in _on_all(client, _unseen, store_url, wanted).items():
        if isinstance(unseen, str):
            raise UsageError(f"worker {worker} cannot be used: {unseen}; see that it has the packages and credentials")
        if not isinstance(unseen, list):
            raise FastDiffError(f"worker {worker} could not be asked what it sees ({one_line(unseen, 200, kind=True)})")
        if unseen:
            shown = ", ".join(os.fsdecode(path).encode("unicode_escape").decode() for path in unseen[:_SHOWN])
            raise UsageError(
                f"worker {worker} does not see {shown}, which this process does; mount it there under the same path, "
                f"or run without that cluster"
            )


def _unseen(store_url: str | None, paths: list[bytes]) -> list[bytes] | str:
    """Give the paths that are not seen here, or a reason why this cannot be told."""
    try:
        unseen = [path for path in paths if not _exists(os.fsdecode(path))]
        if store_url is not None and ARRAYS not in Files(store_url).names():
            unseen.insert(0, os.fsencode(store_url))
    except UsageError as error:
        return str(error)
    except Exception as error:  # whatever a backend raises
        return one_line(error, 200, kind=True)
    return unseen


def _exists(path: str) -> bool:
    if not is_url(path):
        return os.path.exists(path)  # noqa: PTH110 - names may be bytes
    fs, name = file_system(path)
    try:
        fs.info(name)
    except FileNotFoundError:
        return False
    return True


def _on_all(client: Client, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # a worker that goes away meanwhile will not work
    with contextlib.suppress(OSError, TimeoutError):
        found = client.run(function, *arguments, on_error="return")
    return {worker: answer for worker, answer in found.items() if not _is_gone(answer)}


def _is_gone(answer: object) -> bool:
    return isinstance(answer, ConnectionError | TimeoutError | CommClosedError) or type(answer) is OSError


def _own_gpu() -> tuple[str, str]:
    """Give the reason why a worker cannot compare on a GPU, or the name of its GPU; the other is empty."""
    try:
        missing = missing_gpu()
        return missing, "" if missing else gpu_name()
    except Exception as error:  # one that is broken is none
        return f"the GPU does not work ({one_line(error, kind=True)})", ""


def gpu_workers(client: Any, tasks: int) -> dict[str, int]:
    """Find the workers that have a GPU, and share the tasks out among them.

    If workers share a GPU, no more of them are taken than the tasks need: each process takes memory of the GPU.

    Parameters
    ----------
    client
        Client of the cluster. GPUs need not be declared to Dask as resources: the workers are asked.
    tasks
        Number of tasks at once on each GPU.

    Returns
    -------
    Address of a worker → its tasks at once.

    Raises
    ------
    UsageError
        If no worker has a GPU; names what the first worker lacks.
    """
    found, threads = dict(sorted(client.run(_own_gpu, on_error="ignore").items())), client.nthreads()
    shared: dict[str, list[str]] = {}
    for address, (missing, name) in found.items():
        if not missing:
            shared.setdefault(name, []).append(address)
    if not shared:
        raise UsageError(next((missing for missing, _ in found.values()), "there are no workers; start some"))
    at_once: dict[str, int] = {}
    for workers in shared.values():
        left = tasks
        for address in workers:
            if left:
                at_once[address] = min(left, threads.get(address, 1))
                left -= at_once[address]
    return at_once


def capacity(client: Client) -> Capacity:
    """Look up the threads and the memory of the workers; wait for the first one.

    Raises
    ------
    FastDiffError
        If there are none after half a minute.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(1, timeout=30)
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        raise FastDiffError(
            f"the scheduler at {client.scheduler.address} has no workers; start some with 'dask worker'"
        )
    limits = [worker["memory_limit"] // worker["nthreads"] for worker in workers if worker["memory_limit"]]
    return Capacity(sum(worker["nthreads"] for worker in workers), min(limits, default=0))
