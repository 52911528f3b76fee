"""Leading values of new images, made by workers after images were read, so that the first lookup finds them."""

from distributed import Client, Future

from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.derived.leading_files import LeadingFiles
from ..storage.store import Store
from ..tasks.nearest.complete_leading import complete_leading

__all__ = ["make_leading"]


def make_leading(store: Store, client: Client, most: int | None = None) -> None:
    """Make the files of leading values that are not there; see `leading_files`.

    Parameters
    ----------
    store
        The store, locked for writing, whose thumbnails are finished.
    client
        Client of the cluster; its workers see the store under the same path.
    most
        Largest number of tasks at once; by default the number of threads.
    """

    missing = LeadingFiles(store).missing()
    if not missing:
        return
    run = store.files.begin_run()

    def submit(span: range) -> list[Future]:
        return [client.submit(complete_leading, store.url, span, run, key=f"leading-{run}-{span.start}")]

    for _ in run_in_waves(client, missing, submit, in_flight=2 * capacity(client).threads, most=most):
        pass
