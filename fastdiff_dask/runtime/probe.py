"""A look at the address of a scheduler before a client is made, which would fail late and with pages of log."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import distributed
from distributed.comm import connect as open_comm
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.registry import get_backend

from ..errors import UsageError
from ..text import one_line

__all__ = ["probe_scheduler"]


def probe_scheduler(address: str, seconds: float, **connection_arguments: Any) -> None:
    """See that a scheduler answers at an address, and that it has our version of distributed.

    Parameters
    ----------
    address
        The address of the scheduler.
    seconds
        Longest time to wait for it: it may be starting just now.
    **connection_arguments
        Arguments as `Security.get_connection_args` gives them.

    Raises
    ------
    UsageError
        If the address is not valid, its host is unknown, or something else listens there.
    OSError, TimeoutError
        If nothing answers.
    """
    _check_address(address)
    # a notebook has an event loop in this thread
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(asyncio.run, _ask(address, seconds, connection_arguments))
    try:
        kind, version = asked.result()
    except (OSError, TimeoutError):
        raise
    except Exception as error:  # another program may answer anything
        raise UsageError(
            f"what listens at {address} is not understood ({one_line(error, 200, kind=True)}); name a Dask scheduler, "
            f"of the version {distributed.__version__} that is installed here"
        ) from None
    if kind != "Scheduler":
        raise UsageError(
            f"at {address} listens no scheduler ({kind[:50]}); name the address that 'dask scheduler' shows"
        )
    # as Dask itself requires: messages of different versions need not be compatible
    if version.split(".")[:2] != distributed.__version__.split(".")[:2]:
        raise UsageError(
            f"the scheduler at {address} has distributed {version[:50]}, this process has {distributed.__version__}; "
            f"install the same version on all sides"
        )


def _check_address(address: str) -> None:
    """Refuse an address that no scheduler can have, or whose host is unknown."""
    protocol, _, _ = address.rpartition("://")
    try:
        get_backend(protocol or "tcp")
    except ValueError:
        raise _no_address(address) from None
    if protocol not in ("", "tcp", "tls"):
        return
    try:
        host, port = parse_host_port(parse_address(address)[1])
        host.encode("idna")
    except ValueError:
        raise _no_address(address) from None
    if not host or not 0 < port < 65_536:
        raise _no_address(address)
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        raise UsageError(f"no host {host!r} is known here ({error.strerror}); check the scheduler's address") from None


def _no_address(address: str) -> UsageError:
    return UsageError(f"{address!r} is no address of a scheduler; name it like tcp://host:8786")


async def _ask(address: str, seconds: float, connection_arguments: dict[str, Any]) -> tuple[str, str]:
    """Ask a server for its type, and for its version of distributed."""

    async def ask() -> tuple[str, str]:
        comm = await open_comm(address, timeout=seconds, **connection_arguments)
        try:
            await comm.write({"op": "identity", "reply": True})
            kind = str((await comm.read())["type"])
            version = distributed.__version__
            if kind == "Scheduler":
                await comm.write({"op": "versions", "reply": True})
                version = str((await comm.read())["packages"]["distributed"])
            return kind, version
        finally:
            comm.abort()

    return await asyncio.wait_for(ask(), seconds)
