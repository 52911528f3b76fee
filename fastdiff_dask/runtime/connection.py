"""Clients of Dask: connected to a scheduler, by address or file, or to a cluster that is started here."""

import json
import logging
import multiprocessing.util
import os
import socket
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, Worker, default_client
from distributed.comm import CommClosedError
from distributed.security import Security

from ..errors import FastDiffError, UsageError
from ..text import one_line
from .faults import hide_asked_logs
from .probe import probe_scheduler

__all__ = [
    "check_dashboard_address",
    "close_embedded",
    "connect",
    "connect_by_file",
    "current_client",
    "dashboard_link",
    "embedded_client",
    "tls_security",
]

_DASHBOARD_PORT = 8787
_HOST = "127.0.0.1"
# Seconds to wait for a scheduler that may be starting just now.
_ANSWERS = 10
# Clusters that were started here, and the levels of the handlers of logs before the first one.
_embedded: "weakref.WeakSet[LocalCluster]" = weakref.WeakSet()
_levels: dict[logging.Handler, int] = {}
_PRELOADED = ["fastdiff_dask.tasks.read_block", "fastdiff_dask.tasks.compare_tile", "fastdiff_dask.runtime.signals"]


def tls_security(ca_file: str | None, cert: str | None, key: str | None) -> Security | None:
    """Load the certificates for a scheduler at ``tls://``; None, for those of Dask's configuration, if none are named.

    Parameters
    ----------
    ca_file
        Certificates of the authorities that may sign the scheduler's.
    cert, key
        The certificate of this client, and its key if it is not in the same file.

    Returns
    -------
    The certificates as Dask's clients take them; None for those of Dask's configuration.

    Raises
    ------
    UsageError
        If a file is missing, or has no certificate.
    """
    if ca_file is None and cert is None and key is None:
        return None
    if ca_file is None or cert is None:
        raise UsageError("TLS needs tls_ca_file= and tls_cert=, and tls_key= if the key is in a file of its own")
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
    """Refuse certificates without encryption, and encryption without certificates."""
    protocol, tls = address.partition("://")[0], (security or Security()).get_connection_args("client")
    if protocol == "tls" and tls["ssl_context"] is None:
        raise UsageError(
            f"{address} needs certificates; name them by tls_ca_file=, tls_cert= and tls_key=, or in Dask's "
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

    Returns
    -------
    A client of the scheduler, which is not the default one of this process.

    Raises
    ------
    UsageError
        If nothing answers there.
    """
    hide_asked_logs()
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
            f"the scheduler at {address} closed the connection: {reason}; check the address, tls_ca_file=, "
            f"tls_cert= and tls_key="
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
        raise UsageError(f"{path} is no scheduler file; name the one that 'dask scheduler' writes") from None
    return connect(str(address), security)


def current_client() -> Client | None:
    """Give the default client of this process, such as the last one made in a notebook; None if there is none."""
    try:
        return default_client()
    except ValueError:
        return None


def embedded_client(
    threads: int | None = None, dashboard_address: str | None = None, *, processes: int | None = None
) -> Client:
    """Start a cluster on this machine: a worker of threads in this process, or workers that are processes.

    Threads do as well as processes here (Pillow and BLAS release the GIL), start at once and need no ``__main__``
    guard. Everything listens on the loopback address, but for the dashboard if it was asked to listen elsewhere.

    Parameters
    ----------
    threads
        Tasks at a time in each process; by default, one for each core in all.
    dashboard_address
        ``host:port`` of the dashboard; by default port 8787 of the loopback address, or any free one if that is taken.
    processes
        Number of processes, each a worker; none by default. A script that asks for them needs a ``__main__`` guard.

    Returns
    -------
    A client of the cluster; to close the cluster is left to the caller.
    """
    if processes and threads is None:
        threads = max(1, (os.cpu_count() or 1) // processes)
    if dashboard_address is None:
        dashboard_address = f"{_HOST}:{_DASHBOARD_PORT if _is_free(_DASHBOARD_PORT) else 0}"
    hide_asked_logs()
    _silence_logs()
    if processes:
        _silence_resource_tracker()
    try:
        with warnings.catch_warnings():
            # another process took the port just now: Dask takes another one, which is printed, and leaves a socket open
            warnings.filterwarnings("ignore", f"\\s*Port {_DASHBOARD_PORT} is already in use")
            warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
            cluster = LocalCluster(
                processes=bool(processes),
                n_workers=processes or 1,
                host=_HOST if processes else None,
                threads_per_worker=threads,
                dashboard_address=dashboard_address,
                # otherwise the worker's own pages are served on all interfaces
                worker_dashboard_address=f"{_HOST}:0",
                # imported while workers start, not by their first tasks
                **({"preload": _PRELOADED} if processes else {}),
                # made by who asks for them, see `dashboard.on_request`: Bokeh takes as long as a small job
                scheduler_kwargs={"dashboard": False},
                worker_class=None if processes else _PagelessWorker,
                silence_logs="CRITICAL",
            )
    except RuntimeError as error:
        raise FastDiffError(f"no Dask cluster could be started here ({one_line(error)})") from None
    _embedded.add(cluster)
    return Client(cluster, set_as_default=False)


class _PagelessWorker(Worker):
    """A worker without pages, whatever its cluster asks for."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "dashboard": False})


def close_embedded(client: Client) -> None:
    """End a client of `embedded_client`, and its cluster."""
    cluster = client.cluster
    client.close()
    cluster.close()
    if all(other.status.name == "closed" for other in _embedded):
        for handler, level in _levels.items():
            handler.setLevel(level)
        _levels.clear()


def _silence_logs() -> None:
    """Keep Dask's logs off the terminal until the last embedded cluster is closed, at the end of the process at least.

    A cluster does so by itself, but the first one that closes ends that for all.
    """
    for root in ("distributed", "bokeh"):
        for handler in logging.getLogger(root).handlers:
            if isinstance(handler, logging.StreamHandler) and handler not in _levels:
                _levels[handler] = handler.level
                handler.setLevel(logging.CRITICAL)


def _silence_resource_tracker() -> None:
    """Keep the process that removes semaphores of `multiprocessing` off the terminal.

    If it is killed beside the workers, the next one knows nothing of the semaphores of before: a traceback for each.
    """
    spawn = multiprocessing.util.spawnv_passfds
    if getattr(spawn, "is_silent", False):
        return

    def silent(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        *others, code = args
        if "multiprocessing.resource_tracker import main" in str(code):
            code = f"import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 2); {code}"
        return int(spawn(path, [*others, code], passfds))

    silent.is_silent = True  # type: ignore[attr-defined]
    multiprocessing.util.spawnv_passfds = silent


def check_dashboard_address(address: str) -> None:
    """Refuse an address at which the dashboard cannot listen.

    Raises
    ------
    UsageError
        If it is not ``host:port``, or the host is not this machine.
    """
    try:
        host, _, port = address.rpartition(":")
        with socket.socket() as probe:
            probe.bind((socket.gethostbyname(host) if host else "", 0))
        valid = 0 <= int(port) < 65_536
    except (OSError, ValueError, AttributeError):  # the last one: it is no text
        valid = False
    if not valid:
        raise UsageError(f"dashboard_address={address!r} cannot be used; name an address of this machine, {_HOST}:8787")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def dashboard_link(client: Client) -> str:
    """Give the address of the dashboard; for an embedded cluster the one at which it really listens."""
    scheduler = getattr(client.cluster, "scheduler", None)
    if scheduler is None or not scheduler.address.startswith("inproc://"):
        return str(client.dashboard_link)
    # Dask would name the machine's outside address, on which an embedded dashboard does not answer
    sockets = scheduler.http_server._sockets.values()
    host, port = next((s.getsockname()[:2] for s in sockets if s.family == socket.AF_INET), (_HOST, _DASHBOARD_PORT))
    return f"http://{host}:{port}/status"
