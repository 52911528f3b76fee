"""Clusters of images with equal hashes, by a group-by over the metadata; no pair is compared."""

from typing import Any

import pandas as pd
from distributed import Client

from ..errors import UsageError
from ..runtime.waves import run_in_waves
from ..stages.listing.roots import Root
from ..storage.schema import FILE_NAME, HASH_KEY, HASHED_BY, KEEP_COLUMNS
from ..storage.store import Store
from .clusters import Cluster, make_cluster
from .collect import shown_paths
from .dask_collections import images_frame
from .keep_order import with_origins

__all__ = ["collect_hash_clusters"]

_COLUMNS = [*FILE_NAME, *KEEP_COLUMNS, "error", HASH_KEY]
# Images whose metadata one task reads: a block takes milliseconds, hardly more than a task costs by itself.
_ROWS_AT_ONCE = 65_536
# Keys that one task counts, about 100 bytes each.
_KEYS_AT_ONCE = 500_000


def collect_hash_clusters(store: Store, client: Client, roots: list[Root]) -> list[Cluster]:
    """Cluster the current images by equal ``hash_key``; between two sides, a cluster has images of both.

    The metadata is read twice: to count the images of each key, and for the images whose key counts. Memory:

    - 50 MB for each thread, the keys of half a million images;
    - some tasks a block on the scheduler;
    - about 1 kB here for each image in a cluster.

    Parameters
    ----------
    store
        The store, its images hashed.
    client
        The cluster, whose workers see the store under the same path.
    roots
        The folders as the user gives them now.

    Returns
    -------
    Clusters, sorted by the path to keep.

    Raises
    ------
    UsageError
        If there are images without hashes, or hashes of different kinds.
    """
    images = images_frame(store, max(1, _ROWS_AT_ONCE // store.thumbnail_settings.block_size))
    readable = images[images["error"].isna()]
    _check(_compute(client, readable[list(HASHED_BY)].drop_duplicates()))
    keys = readable[[HASH_KEY]].assign(b=readable["side"].eq("b").astype("int64"))
    parts = 1 + sum(store.rows()) // _KEYS_AT_ONCE
    # Dask would take its default way to shuffle from the default client, which need not be this one
    counts = keys.groupby(HASH_KEY)["b"].agg(["count", "sum"], split_out=parts, shuffle_method="tasks")
    in_clusters = counts["sum"].between(1, counts["count"] - 1) if store.two_sides else counts["count"] > 1
    found = _compute(client, counts[in_clusters])
    if not len(found):
        return []
    rows = _compute(client, readable[_COLUMNS][readable[HASH_KEY].isin(found.index.to_list())])
    rows.index = pd.Index(shown_paths(rows, roots), dtype=object)  # pandas' own strings hold no surrogates
    rows = with_origins(rows, {})  # nobody looked at pairs here
    return sorted(make_cluster(group.itertuples(), store.two_sides) for _, group in rows.groupby(HASH_KEY))


def _compute(client: Client, collection: Any) -> pd.DataFrame:
    (future,) = run_in_waves(client, [collection], lambda lazy: [client.compute(lazy)], in_flight=1)
    return future.result()


def _check(made_by: pd.DataFrame) -> None:
    """Refuse images without hashes, and hashes of several kinds."""
    hashed = made_by["hash_function"].notna()
    if not len(made_by) or (hashed.all() and len(made_by) == 1):
        return
    if not hashed.any():
        found = "hashes were not computed"
    else:
        found = "some images have no hashes" if not hashed.all() else "some images have hashes of another kind"
    raise UsageError(f"{found}; call first_loop_iteration(compute_hash=True) first")
