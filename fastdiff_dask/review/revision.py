"""The number of the state that the page shows; pages wait for the next one."""

import asyncio
import threading

__all__ = ["Revision"]


class Revision:
    """A number that grows with each change, from any thread; coroutines of any loop wait for a change.

    Attributes
    ----------
    number
        The number now.
    """

    def __init__(self) -> None:
        self.number = 1
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def bump(self) -> int:
        """Note a change; gives the new number."""
        with self._lock:
            self.number += 1
            waiting, self._waiting = self._waiting, set()
        for loop, changed in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)
        return self.number

    async def after(self, number: int, seconds: float) -> int:
        """Wait until the number is another one, for some seconds at most; gives it."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        entry = loop, changed
        with self._lock:
            if self.number != number:
                return self.number
            self._waiting.add(entry)
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return self.number
