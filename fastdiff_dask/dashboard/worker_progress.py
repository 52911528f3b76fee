"""The workers as Dask names them, with what their threads do and what they have done in all stages."""

import time
from collections.abc import Callable

from ..runtime.activity import Amounts, Earlier, Work
from .snapshot import WorkerProgress

__all__ = ["worker_progress"]


def worker_progress(
    works: list[Work], earlier: Earlier, at_work: bool, changed: Callable[[Work], float]
) -> list[WorkerProgress]:
    """Put the threads of each worker together.

    Parameters
    ----------
    works, earlier
        What the threads do and did in this stage, and did in earlier ones.
    at_work
        Whether the stage runs.
    changed
        Gives when something of a thread changed, by the clock `time.monotonic`.

    Returns
    -------
    The workers by name.
    """
    now = time.monotonic()
    found: dict[tuple[str, str, int], WorkerProgress] = {}
    for work in [*earlier.works, *works]:
        # a name is one of the cluster; without a cluster a process is what there is
        key = (work.worker_name, "", 0) if work.worker_name else ("", work.host, work.process)
        worker = found.setdefault(key, WorkerProgress(work.worker_name or f"{work.host} {work.process}", Amounts()))
        worker.done.add(work.done)
        worker.address, worker.host, worker.process = work.worker, work.host, work.process
        if at_work and work.run:
            worker.images_rate += work.rate("images", now - changed(work))
            worker.pairs_rate += work.rate("pairs", now - changed(work))
            if work.running is not None:
                worker.running.append(work.running)
    return sorted(found.values(), key=lambda worker: (len(worker.name), worker.name))
