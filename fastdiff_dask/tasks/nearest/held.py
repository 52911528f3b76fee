"""Arrays that a process holds from task to task, for all its threads."""

from functools import lru_cache

from ...kernels.device import Device

__all__ = ["held_by_process"]

# Share of the memory of a task that they take, and bytes at most.
_HELD_SHARE, _HELD_BYTES = 0.5, 1 << 30


def held_by_process(bytes_per_task: int) -> Device:
    """Give what holds arrays of this process, as much of them as tasks of this memory (0: no limit) may hold."""
    return _held(int(min(_HELD_BYTES, bytes_per_task * _HELD_SHARE)) or _HELD_BYTES)


@lru_cache(maxsize=1)
def _held(nbytes: int) -> Device:
    return Device(cache_bytes=nbytes)
