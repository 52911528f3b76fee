"""A copy of a store in memory, brought up to date now and then: a run need not wait for a disk.

The copy is a valid store at every moment: data marked as finished in the copy are complete.

- Markers are written last, and so they are copied last, in the order in which they were written.
- A marker is copied only if it was written before the copying began.
- All other files do no harm before their marker is copied.
"""

import re
import time

from ..storage.files import Files

__all__ = ["SavedCopy"]

_MARKER = re.compile(r".*/zarr\.json|arrays\.zarr/thumbnails/c\..*|.*/compared/c\..*")
# Files of the process at work and of its watchers, which are not copied.
_LEFT_OUT = re.compile(r"writer\.(json|lock).*|run|activity/.*|.*\.partial|plots/.*")


class SavedCopy:
    """A copy of a store, for one process that writes to the store.

    Parameters
    ----------
    store, copy
        Addresses of the store and of its copy; the copy is locked for writing.
    """

    def __init__(self, store: str, copy: str) -> None:
        self._store, self._copy = Files(store), Files(copy)
        self._saved: dict[str, tuple[int, int]] = {}
        self._time = time.monotonic()

    def load(self) -> None:
        """Replace the content of the store by the saved copy."""
        for name in sorted(self._store.tree()):
            self._store.remove(name)
        names = [name for name in self._copy.tree() if not _LEFT_OUT.fullmatch(name)]
        for name in sorted(names, key=lambda name: bool(_MARKER.fullmatch(name))):
            self._store.write(name, self._copy.read(name))
        self._saved = {name: found for name, found in self._store.tree().items() if name in names}

    def save_after(self, seconds: float) -> None:
        """Bring the copy up to date if the last update is at least some seconds ago."""
        if time.monotonic() - self._time >= seconds:
            self.save()

    def save(self) -> None:
        """Bring the copy up to date; tasks may write to the store meanwhile."""
        now = time.time_ns()
        found = {name: times for name, times in self._store.tree().items() if not _LEFT_OUT.fullmatch(name)}
        changed = [name for name, times in found.items() if self._saved.get(name) != times]
        markers = sorted((name for name in changed if _MARKER.fullmatch(name)), key=lambda name: found[name][1])
        markers = [name for name in markers if found[name][1] < now]
        gone = [name for name in self._saved if name not in found]
        # markers go first: a removed comparison must not count as finished while its parts go
        for name in sorted(gone, key=lambda name: not _MARKER.fullmatch(name)):
            self._copy.remove(name)
            del self._saved[name]
        for name in [name for name in changed if not _MARKER.fullmatch(name)] + markers:
            try:
                content = self._store.read(name)
            except FileNotFoundError:  # removed meanwhile
                continue
            self._copy.write(name, content)
            self._saved[name] = found[name]
        self._time = time.monotonic()
