"""The store of a project while it is written: locked over its stages, and saved to disk if it is in memory."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import FastDiffError, UsageError
from ..outputs.progress_bar import stage_bar
from ..runtime.faults import connected
from ..runtime.signals import is_asked, stoppable
from ..storage.files import check_store_address
from ..storage.locks import Held
from ..storage.store import Store
from .saved_copy import SavedCopy

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["StoreSession"]


class StoreSession:
    """The store of a project, in the one process that writes to it.

    Parameters
    ----------
    saved_url
        Address of the store.
    in_memory
        Hold the store in memory, and save it to that address now and then.
    update_timeout
        Seconds between two saves.

    Attributes
    ----------
    url
        Address of the store that is written: in memory, or `saved_url`.
    saved_url
        Address of the store that stays.
    """

    def __init__(self, saved_url: str, in_memory: bool, update_timeout: float) -> None:
        self.url = self.saved_url = saved_url
        self._in_memory, self._update_timeout = in_memory, update_timeout
        self._held, self._locked = Held(), False
        self._copy: SavedCopy | None = None
        if in_memory:
            check_store_address(saved_url)
            self.url = f"memory://fastdiff_dask/{hashlib.blake2b(saved_url.encode()).hexdigest()[:16]}"

    @property
    def newest_url(self) -> str:
        """Address of the newest state: `url`, once a store in memory was loaded, else `saved_url`."""
        return self.saved_url if self._copy is None else self.url

    def open(self) -> Store:
        """Open the newest state.

        Raises
        ------
        UsageError
            If nothing was indexed yet.
        """
        try:
            return Store(self.newest_url)
        except UsageError:
            if Store.exists(self.newest_url):
                raise
            raise UsageError(f"no store at {self.saved_url} yet; call index_the_dirs() first") from None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing, if it is not held already."""
        if self._locked:
            yield
            return
        with Store.lock(self.saved_url) as self._held:
            self._locked = True
            try:
                if self._in_memory and self._copy is None:
                    self._copy = SavedCopy(self.url, self.saved_url)
                    self._copy.load()
                yield
            finally:
                self._locked = False

    @contextlib.contextmanager
    def stage(self, client: "Client | None", *, first: bool) -> Iterator[None]:
        """Hold the store for a stage, which a signal may stop, and save it in the end, after an error too.

        Parameters
        ----------
        client
            The client in use, if there is one; an error says in one line that it was lost.
        first
            This stage may make the store; for others it must be there.
        """
        if not first and self._copy is None:
            self.open()  # that there is none is said before the lock makes its folder
        with connected(client), self.writing(), stoppable():
            self._held.check()
            try:
                yield
            except FastDiffError as error:
                if self._copy is None:
                    raise
                # the user knows the place where it is saved
                raise type(error)(str(error).replace(self.url, self.saved_url)) from None
            finally:
                self.save()

    @contextlib.contextmanager
    def bar(self, name: str, total: int | None, unit: str, verbose: bool | None) -> Iterator[Callable[[int], None]]:
        """Progress bar of a stage. Each step checks that the store is still locked, and saves it if that is due."""
        with stage_bar(name, total, unit, verbose) as advance:

            def step(amount: int) -> None:
                self._held.check()
                advance(amount)
                if self._copy is not None:
                    # who asks to stop may ask again, which ends it at once
                    self._copy.save_after(0.0 if is_asked() else self._update_timeout)

            yield step

    def save(self) -> None:
        """Save the store, if it is in memory."""
        if self._copy is not None:
            self._copy.save()

    def reload(self) -> None:
        """Load the saved store into memory, if it is held there."""
        if self._copy is not None:
            self._copy.load()
