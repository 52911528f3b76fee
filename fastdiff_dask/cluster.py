"""Where tasks run: the client that is there, or an embedded one; tasks in bounded waves; memory checked beforehand."""

import contextlib
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Client, Future, LocalCluster, as_completed, default_client
from distributed.comm import CommClosedError
from distributed.security import Security

from .errors import FastDiffError, UsageError
from .probe import probe_scheduler
from .resilience import KEPT, failure
from .stopping import check, is_asked

__all__ = [
    "Capacity",
    "capacity",
    "check_dashboard_address",
    "connect",
    "connect_by_file",
    "current_client",
    "dashboard_link",
    "embedded_client",
    "run_in_waves",
    "tls_security",
]

_DASHBOARD_PORT = 8787
_HOST = "127.0.0.1"
# Seconds to wait for a scheduler that may be starting just now.
_ANSWERS = 10
# Seconds without a worker after which nobody starts one again, and between two looks.
_WORKERLESS, _LOOK = 120.0, 5.0
_PRELOADED = ["fastdiff_dask.thumbnails", "fastdiff_dask.compare", "fastdiff_dask.stopping"]


def tls_security(ca_file: str | None, cert: str | None, key: str | None) -> Security | None:
    """Certificates for a scheduler at ``tls://``; None, which is what Dask's configuration says, if none are named.

    Parameters
    ----------
    ca_file
        Certificates of the authorities that may sign the scheduler's.
    cert, key
        The certificate of this client, and its key if it is not in the same file.

    Raises
    ------
    UsageError
        If a file is missing or has something else.
    """
    if ca_file is None and cert is None and key is None:
        return None
    if ca_file is None or cert is None:
        raise UsageError("TLS needs --tls-ca-file and --tls-cert, and --tls-key if the key is in a file of its own")
    security = Security(
        require_encryption=True,
        tls_ca_file=ca_file,
        tls_client_cert=cert,
        **({} if key is None else {"tls_client_key": key}),
    )
    try:
        security.get_connection_args("client")
    except (OSError, ValueError) as error:  # what ssl raises is an OSError too
        names = ", ".join(name for name in (ca_file, cert, key) if name is not None)
        raise UsageError(f"no certificates for TLS in {names} ({getattr(error, 'strerror', None) or error})") from None
    return security


def _check_protocol(address: str, security: Security | None) -> None:
    """Refuse an address that does not go with the certificates."""
    protocol, tls = address.partition("://")[0], (security or Security()).get_connection_args("client")
    if protocol == "tls" and tls["ssl_context"] is None:
        raise UsageError(
            f"{address} needs certificates; name them by --tls-ca-file, --tls-cert and --tls-key, or in Dask's "
            f"configuration (distributed.comm.tls)"
        )
    if protocol != "tls" and tls["require_encryption"]:
        raise UsageError(f"{address} is not encrypted, and certificates for TLS are named; use a tls:// address")


def connect(address: str, security: Security | None = None) -> Client:
    """Connect to the scheduler at an address such as ``tcp://host:8786``.

    Parameters
    ----------
    address
        The address, ``tls://`` for an encrypted one.
    security
        Certificates for that; by default those of Dask's configuration.

    Raises
    ------
    UsageError
        If nothing answers there.
    """
    try:
        _check_protocol(address, security)
        probe_scheduler(address, _ANSWERS, **(security or Security()).get_connection_args("client"))
        return Client(address, timeout=_ANSWERS, set_as_default=False, security=security)
    except UsageError:
        raise
    except CommClosedError:
        reason = (
            "it and this client do not accept each other's certificates"
            if address.startswith("tls://")
            else "it may be no scheduler, or one that speaks TLS (tls://)"
        )
        raise UsageError(
            f"the scheduler at {address} closed the connection: {reason}; check the address and the options --tls-..."
        ) from None
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with 'dask scheduler'"
        ) from None


def connect_by_file(path: str, security: Security | None = None) -> Client:
    """Connect to the scheduler that wrote a file about itself (``dask scheduler --scheduler-file``).

    Raises
    ------
    UsageError
        If there is no such file, or nothing answers at the address that it has.
    """
    try:
        address = json.loads(Path(path).read_text())["address"]
    except OSError as error:
        raise UsageError(
            f"scheduler file {path} cannot be read ({error.strerror}); name the file of a running scheduler"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is no scheduler file; 'dask scheduler --scheduler-file FILE' writes one") from None
    return connect(str(address), security)


def current_client() -> Client | None:
    """The client that this process uses by default, as one made in a notebook does."""
    try:
        return default_client()
    except ValueError:
        return None


def embedded_client(
    threads: int | None = None, dashboard_address: str | None = None, *, processes: int | None = None
) -> Client:
    """Start a scheduler, and a worker of threads within this process or workers of their own, on this machine.

    Threads do as well as processes here (Pillow and BLAS release the GIL), start at once and need no ``__main__``
    guard. Everything listens on the loopback address, or the dashboard where it was asked to.

    Parameters
    ----------
    threads
        Tasks at a time, in each process; by default, as many as make one for each core in all.
    processes
        Number of processes, each a worker; none by default. A script that asks for them needs a ``__main__`` guard.
    dashboard_address
        ``host:port`` of the dashboard; by default port 8787 of the loopback address, or any free one if that is taken.
    """
    if processes and threads is None:
        threads = max(1, (os.cpu_count() or 1) // processes)
    if dashboard_address is None:
        dashboard_address = f"{_HOST}:{_DASHBOARD_PORT if _is_free(_DASHBOARD_PORT) else 0}"
    try:
        with warnings.catch_warnings():
            # another process took it just now: Dask takes another one, which is printed
            warnings.filterwarnings("ignore", f"\\s*Port {_DASHBOARD_PORT} is already in use")
            cluster = LocalCluster(
                processes=bool(processes),
                n_workers=processes or 1,
                host=_HOST if processes else None,
                threads_per_worker=threads,
                dashboard_address=dashboard_address,
                # without it the worker's own pages are served on all interfaces
                worker_dashboard_address=f"{_HOST}:0",
                # imported while they start, not by their first tasks
                **({"preload": _PRELOADED} if processes else {}),
                silence_logs="CRITICAL",
            )
    except RuntimeError as error:
        raise FastDiffError(f"no Dask cluster could be started here ({' '.join(str(error).split())})") from None
    return Client(cluster, set_as_default=False)


def check_dashboard_address(address: str) -> None:
    """Refuse what the dashboard could not listen at.

    Raises
    ------
    UsageError
        If it is not ``host:port``, or the host is not this machine.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.socket() as probe:
            probe.bind((socket.gethostbyname(host) if host else "", 0))
        valid = 0 <= int(port) < 65_536
    except (OSError, ValueError):
        valid = False
    if not valid:
        raise UsageError(f"dashboard address {address!r} cannot be used; name an address of this machine, {_HOST}:8787")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def dashboard_link(client: Client) -> str:
    """Address of the dashboard; of an embedded cluster, where it really listens."""
    scheduler = getattr(client.cluster, "scheduler", None)
    if scheduler is None or not scheduler.address.startswith("inproc://"):
        return str(client.dashboard_link)
    # Dask would name the machine's outside address, on which an embedded dashboard does not answer
    sockets = scheduler.http_server._sockets.values()
    host, port = next((s.getsockname()[:2] for s in sockets if s.family == socket.AF_INET), (_HOST, _DASHBOARD_PORT))
    return f"http://{host}:{port}/status"


class Capacity(NamedTuple):
    """What the workers offer: tasks at a time in all, and memory in bytes for each of them (0: no limit)."""

    threads: int
    bytes_per_task: int


def capacity(client: Client) -> Capacity:
    """Look at the workers.

    Raises
    ------
    FastDiffError
        If there are none.
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


def run_in_waves(
    client: Client,
    items: Iterable[Any],
    submit: Callable[[Any], list[Future]],
    in_flight: int,
    most: int | Callable[[], int | None] | None = None,
) -> Iterator[Future]:
    """Submit the futures of each item, some items at a time, and give each future when it is done.

    Memory on client and scheduler grows with `in_flight`, not with the number of items; of workers that join, the
    number of items grows in proportion. Whatever ends the loop early cancels what was submitted. When it is to stop,
    see `stopping`, items that no worker has begun are cancelled, and it stops when the others have ended.

    Parameters
    ----------
    client
        Where to run.
    items
        What to submit, in this order.
    submit
        Gives the futures of an item; the last one ends it.
    in_flight
        Items submitted and not ended, for the workers that are there now.
    most
        The same, at most, whatever workers there are; or what gives it, if it changes.

    Raises
    ------
    FastDiffError
        If a task failed, with its reason.
    KeyboardInterrupt, SystemExit
        If it was to stop.
    """
    waiting = iter(items)
    running = as_completed(loop=client.loop)
    last: dict[str, list[Future]] = {}  # the futures of an item, by the key of the last one
    stopped = False
    pending: dict[str, Future] = {}
    at_first = max(sum(client.nthreads().values()), 1)
    threads = [at_first]

    def submit_more() -> None:
        wanted = in_flight * max(threads[0], at_first) // at_first
        limit = most() if callable(most) else most
        while len(last) < (wanted if limit is None else min(wanted, limit)):
            try:
                item = next(waiting)
            except StopIteration:
                return
            futures = submit(item)
            last[futures[-1].key] = futures
            pending.update((future.key, future) for future in futures)
            running.update(futures)

    ended, workerless = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(client, pending, threads, ended, workerless), daemon=True)
    watch.start()
    try:
        submit_more()
        while pending:
            future = next(running)
            if future.key not in pending:
                continue
            if is_asked() and not stopped:
                stopped, waiting = True, iter(())
                _cancel_unbegun(client, last, pending)
                if future.key not in pending:
                    continue
            if workerless.is_set():
                raise FastDiffError(
                    f"the scheduler at {client.scheduler.address} has had no workers for {_WORKERLESS:g} s; start some "
                    f"with 'dask worker', with more memory if they ran out of it; {KEPT}"
                )
            if future.status != "finished":
                raise failure(future)
            del pending[future.key]
            if future.key in last:
                del last[future.key]
                submit_more()
            yield future
        check()
    finally:
        ended.set()
        # a lost scheduler would be waited for
        if pending and client.status == "running":
            client.cancel(list(pending.values()), force=True)


def _cancel_unbegun(client: Client, items: dict[str, list[Future]], pending: dict[str, Future]) -> None:
    """Cancel the items none of whose tasks has begun, and forget them."""
    begun = {str(key) for keys in client.processing().values() for key in keys}
    for last, futures in list(items.items()):
        if not any(future.key in begun or future.done() for future in futures):
            client.cancel(futures, force=True)
            del items[last]
            for future in futures:
                del pending[future.key]


def _watch(
    client: Client,
    pending: dict[str, Future],
    threads: list[int],
    ended: threading.Event,
    workerless: threading.Event,
) -> None:
    """Count the workers' threads, and end the wait for futures when there have been none for long: Dask never does."""
    seen = time.monotonic()
    while not ended.wait(min(_LOOK, _WORKERLESS / 2)):
        with contextlib.suppress(Exception):  # a lost scheduler is noticed by its futures
            threads[0] = sum(client.nthreads().values())
            if threads[0] or not pending:
                seen = time.monotonic()
            elif time.monotonic() - seen > _WORKERLESS and not ended.is_set():
                workerless.set()
                client.cancel(list(pending.values()), force=True)
                return
