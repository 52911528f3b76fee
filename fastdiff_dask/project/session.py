"""The store of a project while it is written: held over its stages, and, if it is in memory, saved elsewhere."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator

from distributed import Client

from ..errors import FastDiffError
from ..outputs.progress_bar import stage_bar
from ..runtime.faults import connected
from ..runtime.signals import is_asked, stoppable
from ..storage.files import check_store_address
from ..storage.locks import Held
from ..storage.saved_copy import SavedCopy
from ..storage.store import Store

__all__ = ["StoreSession"]


class StoreSession:
    """Where the work of a project is kept, by one process that writes to it.

    Parameters
    ----------
    saved_url
        Address of the store.
    in_memory
        Work in memory, and bring that store up to date now and then.
    update_timeout
        Seconds after which that is due.

    Attributes
    ----------
    url
        Address of the store at work.
    saved_url
        Address of what stays.
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
        """Address of the newest state: that in memory, once something was loaded into it."""
        return self.saved_url if self._copy is None else self.url

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
    def stage(self, client: Client | None, *, first: bool) -> Iterator[None]:
        """Hold the store for a stage that a signal may stop, and save it in the end, whatever happens.

        Parameters
        ----------
        client
            The client in use, if it is known, whose loss is said in one line.
        first
            Whether this stage may make the store; for others it must be there.
        """
        if not first and self._copy is None:
            Store(self.saved_url)  # that there is none is said before the lock makes its folder
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
        """A progress bar; each step sees that the store is still held, and saves it if that is due."""
        with stage_bar(name, total, unit, verbose) as advance:

            def step(amount: int) -> None:
                self._held.check()
                advance(amount)
                if self._copy is not None:
                    # who asks to stop may ask again, which ends it at once
                    self._copy.save_after(0.0 if is_asked() else self._update_timeout)

            yield step

    def save(self) -> None:
        """Bring what stays up to date, if the store is in memory."""
        if self._copy is not None:
            self._copy.save()

    def reload(self) -> None:
        """Make the store in memory, if it is there, what was saved."""
        if self._copy is not None:
            self._copy.load()
