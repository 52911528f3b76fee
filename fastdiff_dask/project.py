"""`FastDifPy`: the four stages over one store, under the names that users of fast_diff_py know."""

import contextlib
import hashlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .catalog import IndexCounts, Root, full_path, index_images, resolve_roots
from .cluster import capacity, check_dashboard_address, current_client, dashboard_link, embedded_client
from .clusters import Cluster, low_quality_of
from .compare import compare_tiles, plan_comparison
from .comparisons import Comparison
from .config import (
    DEFAULT_BLOCK_SIZE,
    PIXEL_LIMIT,
    TIME_LIMIT,
    CompareSettings,
    IndexSettings,
    ReadSettings,
    ThumbnailSettings,
    aspect_factor,
)
from .errors import UsageError, printable
from .estimate import DEFAULT_SAMPLE, Estimate, check_sample, estimate_job
from .files import Files, check_store_address
from .functions import check_sendable
from .hashes import HashSettings
from .locks import Held
from .measures import default_threshold, resolve_measure
from .performance import PerformanceReport
from .planning import check_compare_memory, choose_comparison, pairs_left, unplanned
from .progress import stage_bar, with_unit
from .resilience import connected
from .results import Result, collect_errors, collect_result
from .roots import is_within, overlap
from .stopping import check, stoppable
from .store import Store
from .thumbnails import check_memory, hash_blocks, hashing_of, read_blocks, unhashed_blocks, unread_blocks
from .transfer import copy_blocks, index_stores, open_sources, roots_of
from .workers import check_package, check_visible, is_embedded

if TYPE_CHECKING:
    import dask.array as da
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client

    from .tables import Tables

__all__ = ["FastDifPy", "default_store", "find_duplicates"]

_LARGEST_SUB_BLOCK = 4096

Directories = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def _listed(directories: Directories | None) -> list[str]:
    if directories is None:
        return []
    several = [directories] if isinstance(directories, str | os.PathLike) else directories
    return [os.fspath(directory) for directory in several]


def _as_tuple(values: Any) -> Any:
    return tuple(values) if isinstance(values, Iterable) else values


def default_store(roots: list[Root]) -> str:
    """Where the store of some folders is kept if none is named: in the user's cache folder, always the same place."""
    return _cache_place(roots[0].absolute, "\0".join(f"{root.side}:{root.absolute}" for root in roots))


def _cache_place(first: str, identity: str) -> str:
    import platformdirs

    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(first).name)[:40] or "root"
    digest = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    try:
        cache = platformdirs.user_cache_dir("fastdiff_dask")
    except RuntimeError:
        raise UsageError("this user has no home folder; name a folder for the work with store= (--store)") from None
    return str(Path(cache, "stores", f"{name}-{digest}"))


class FastDifPy:
    """Find the duplicates of one collection, or of one against another, stage by stage.

    Everything that is finished is in the store: a stage that is called again, in this process or another, does only
    what is missing. It may be used as a context manager, which ends what it started.

    Parameters
    ----------
    directory_a
        Folder or folders to search.
    directory_b
        Folder or folders to compare with those; without it, `directory_a` is compared with itself.
    store
        Folder or fsspec URL for the work; by default a folder in the user's cache that belongs to these directories.
    client
        Dask client to use; by default the current one, else one of threads within this process is started.
    workers, threads
        Processes of the client that is started here, and threads of each; by default threads of this process alone, as
        many as there are cores. Processes need a ``__main__`` guard in a script.
    dashboard_address
        ``host:port`` for its dashboard; by default on the loopback address alone.
    thumbnail_size_x, thumbnail_size_y
        Width and height of the thumbnails in pixels.
    block_size
        Images in a block. Memory: for each thread four blocks of thumbnails (4 · block_size · width · height · 3 bytes,
        50 MB as it is), and either what it takes to compare (`planning.compare_task_bytes`), or a process beside it of
        50 MB with a file, its decoded picture and a copy; about 1 kB an image while indexing, and about 1 kB an image
        in the results. Nothing else grows with the collection. Settings that do not fit into the workers' memory are
        refused before anything is computed.
    exact_decode
        Decode JPEG pictures at full scale and resize by the plain bicubic filter: slower, see `images.read_opened`.
    time_limit, pixel_limit
        Seconds that reading a file may take (0: any), and pixels that a picture may have; files beyond are listed as
        errors, and tried again when a later run has a higher limit.
    recursive, extensions, ignore_names, ignore_paths
        Which files are images, see `IndexSettings`.
    performance_report
        File for Dask's performance report of what is computed, written when this is closed, also after a failure.
    verbose
        Show progress bars, by default on a terminal only; False keeps the dashboard's address quiet too.

    Raises
    ------
    UsageError
        If a directory or a setting cannot be used. Nothing is written before `index_the_dirs`.

    Examples
    --------
    >>> import tempfile
    >>> from fastdiff_dask.testing import simulate_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     photos = simulate_images(folder + "/photos", images=6, duplicates=2)
    ...     with FastDifPy(folder + "/photos", store=folder + "/store") as db:
    ...         counts = db.index_the_dirs()
    ...         db.first_loop_iteration()
    ...         db.second_loop_iteration(similarity_threshold=200.0)
    ...         clusters, low_quality = db.get_duplicates()
    >>> counts.new, len(clusters), len(low_quality)
    (8, 2, 2)
    """

    def __init__(
        self,
        directory_a: Directories,
        directory_b: Directories | None = None,
        *,
        store: str | os.PathLike[str] | None = None,
        client: "Client | None" = None,
        workers: int | None = None,
        threads: int | None = None,
        dashboard_address: str | None = None,
        thumbnail_size_x: int = 64,
        thumbnail_size_y: int = 64,
        block_size: int = DEFAULT_BLOCK_SIZE,
        exact_decode: bool = False,
        time_limit: float = TIME_LIMIT,
        pixel_limit: int = PIXEL_LIMIT,
        recursive: bool = True,
        extensions: Sequence[str] = (),
        ignore_names: Sequence[str] = (),
        ignore_paths: Sequence[str] = (),
        performance_report: str | os.PathLike[str] | None = None,
        verbose: bool | None = None,
    ) -> None:
        self.thumbnail_settings = ThumbnailSettings(
            width=thumbnail_size_x, height=thumbnail_size_y, block_size=block_size, exact_decode=exact_decode
        )
        self.read_settings = ReadSettings(time_limit=time_limit, pixel_limit=pixel_limit)
        self.index_settings = IndexSettings(
            recursive=recursive,
            extensions=tuple(extensions),
            ignore_names=(ignore_names,) if isinstance(ignore_names, str) else tuple(ignore_names),
            ignore_paths=tuple(os.fspath(path) for path in ignore_paths),
        )
        self.verbose = verbose
        self._run_on(client, workers, threads, dashboard_address)
        self.roots = resolve_roots({"a": _listed(directory_a), "b": _listed(directory_b)})
        if not any(root.side == "a" for root in self.roots):
            raise UsageError("no folder to search; name at least one")
        self.store_url = default_store(self.roots) if store is None else self._checked_store(os.fspath(store))
        self._sources: dict[str, str] | None = None
        self._begin(performance_report)

    @classmethod
    def from_stores(
        cls,
        store_a: str | os.PathLike[str],
        store_b: str | os.PathLike[str],
        *,
        store: str | os.PathLike[str] | None = None,
        client: "Client | None" = None,
        workers: int | None = None,
        threads: int | None = None,
        dashboard_address: str | None = None,
        block_size: int = DEFAULT_BLOCK_SIZE,
        performance_report: str | os.PathLike[str] | None = None,
        verbose: bool | None = None,
    ) -> Self:
        """Compare two collections that were indexed apart, from their stores: no picture is opened.

        The stages are those of any collection against another. `index_the_dirs` lists what is current in the two
        stores, `first_loop_iteration` copies thumbnails from them; later runs copy and compare what is new. The two
        stores are only read. Images have the paths that these have for them; if those are equal on both sides, as of
        two machines, the side tells them apart.

        Parameters
        ----------
        store_a, store_b
            Folders or fsspec URLs of the two stores; all their images were read, with the same thumbnail settings.
        store
            Folder or fsspec URL for the work; by default a folder in the user's cache that belongs to these two.
        client, workers, threads, dashboard_address, block_size, performance_report, verbose
            As for the class.

        Raises
        ------
        UsageError
            If one is no store, or their thumbnails cannot be compared.

        Examples
        --------
        >>> import tempfile
        >>> from fastdiff_dask.testing import simulate_images
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a", "b"):
        ...         photos = simulate_images(f"{folder}/{name}", images=4, duplicates=0)
        ...         with FastDifPy(f"{folder}/{name}", store=f"{folder}/store-{name}") as db:
        ...             counts = db.index_the_dirs()
        ...             db.first_loop_iteration()
        ...     with FastDifPy.from_stores(f"{folder}/store-a", f"{folder}/store-b", store=f"{folder}/both") as db:
        ...         counts = db.index_the_dirs()
        ...         db.first_loop_iteration()
        ...         db.second_loop_iteration()
        ...         clusters, low_quality = db.get_duplicates()
        >>> counts.new, len(clusters)
        (8, 4)
        """
        db = cls.__new__(cls)
        db.verbose = verbose
        db._run_on(client, workers, threads, dashboard_address)
        db.roots = []  # no folder of pictures that a store must not be in
        db._sources = {side: db._checked_store(os.fspath(url)) for side, url in (("a", store_a), ("b", store_b))}
        sources = open_sources(db._sources)
        db.roots = roots_of(sources)
        db.thumbnail_settings = replace(sources["a"].thumbnail_settings, block_size=block_size)
        db.read_settings, db.index_settings = ReadSettings(), IndexSettings()
        if store is None:
            db.store_url = _cache_place(db._sources["a"], "\0".join(("stores", *db._sources.values())))
        else:
            db.store_url = db._checked_store(os.fspath(store))
        for source in db._sources.values():
            if overlap(db.store_url, source):
                raise UsageError(
                    f"{db.store_url} is one of the stores to compare, or in it; name another place for the work"
                )
        db._begin(performance_report)
        return db

    def _run_on(
        self, client: "Client | None", workers: int | None, threads: int | None, dashboard_address: str | None
    ) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} is {value!r}; it must be a whole number from 1")
            if value is not None and client is not None:
                raise UsageError(f"{name} is for a client that is started here; leave it out with one of your own")
        if dashboard_address is not None:
            check_dashboard_address(dashboard_address)
        self._client, self._workers, self._threads = client, workers, threads
        self._dashboard_address = dashboard_address

    def _begin(self, performance_report: str | os.PathLike[str] | None) -> None:
        """Set what changes while it runs."""
        self._report = None if performance_report is None else PerformanceReport(performance_report)
        self.seconds: dict[str, float] = {}
        self._checked = False
        self._own_client: Client | None = None
        self._locked = False
        self._held = Held()
        self._comparison: Comparison | None = None
        self._threshold: float | None = None
        self._tiles_resumed = 0
        self.images_read = 0

    def _checked_store(self, store: str) -> str:
        """Absolute, because workers may run elsewhere; not inside the photo folders."""
        if not store or "::" in store:
            raise UsageError(f"store {store!r} is no folder and no simple address; name a folder")
        check_store_address(store)
        files = Files(store)
        if not files.local:
            for root in self.roots:
                if is_within(store, root.absolute):
                    raise UsageError(f"the store {store} is inside the photo folder {root.given}; name another place")
            return store.rstrip("/") if store.rstrip("/")[-1] != ":" else store
        path = Path(files.root)
        for root in self.roots:
            if path.resolve().is_relative_to(root.absolute):
                raise UsageError(f"the store {store} is inside the photo folder {root.given}; name another place")
        return str(path.absolute())

    # -- resources ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the performance report, if it was asked for, and end the client that was started here, if any."""
        if self._report is not None:
            self._report.write()
            self._report = None
        if self._own_client is not None:
            cluster = self._own_client.cluster
            self._own_client.close()
            cluster.close()
            self._own_client = None

    @property
    def client(self) -> "Client":
        """The Dask client in use; started now if there is none yet."""
        client = self._client or self._own_client or current_client()
        if client is None:
            client = self._own_client = embedded_client(self._threads, self._dashboard_address, processes=self._workers)
            self._show_progress(client)
        stores = [self.store_url, *(self._sources or {}).values()]
        if any(url.startswith("memory:") for url in stores) and not is_embedded(client):
            raise UsageError("workers in other processes cannot see a store in memory; name a folder as the store")
        pictures = self.roots if self._sources is None else []
        if any(root.absolute.startswith("memory:") for root in pictures) and not is_embedded(client):
            raise UsageError("workers in other processes cannot see pictures in memory; name a folder or a bucket")
        if not self._checked and not is_embedded(client):
            capacity(client)  # waits for workers
            check_package(client)
        self._checked = True
        if self._report is not None:
            self._report.begin(client)
        return client

    def _show_progress(self, client: "Client") -> None:
        """Serve the page of the store beside Dask's pages, and say where they are."""
        from .dashboard import ROUTE, add_page

        page = add_page(client, self.store_url)
        if self.verbose is not False:
            link = dashboard_link(client)
            print(f"Dashboard: {link}", file=sys.stderr)
            if page:
                print(f"Progress: {link.removesuffix('/status')}{ROUTE}", file=sys.stderr)

    def _check_visible(self, store: Store, files: bool) -> None:
        """See that workers elsewhere see the store, and, of each folder, it and a file."""
        client = self.client
        if is_embedded(client):
            return
        paths: list[str] = []
        for url in (self._sources or {}).values() if files else ():
            check_visible(client, url, [])
        if files and self._sources is None:
            frame = store.read_images(["root", "path", "path_bytes", "current", "size"])
            frame = frame[frame.current & (frame["size"] >= 0)].drop_duplicates("root")
            paths = [full_path(row.root, row.path, row.path_bytes) for row in frame.itertuples()]
            paths = [*frame.root, *paths]
        check_visible(client, store.url, paths)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing over several stages; each stage does so by itself otherwise."""
        if self._locked:
            yield
            return
        with Store.lock(self.store_url) as self._held:
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    @contextlib.contextmanager
    def _bar(self, name: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
        """A progress bar; each step sees that the store is still held."""
        with stage_bar(name, total, unit, self.verbose) as advance:

            def step(amount: int) -> None:
                self._held.check()
                advance(amount)

            yield step

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        if name != "index":
            Store(self.store_url)  # that there is none is said before the lock makes its folder
        with connected(self._client or self._own_client), self.writing(), stoppable():
            self._held.check()
            yield
        self.seconds[name] = round(time.monotonic() - start, 3)

    @property
    def store(self) -> Store:
        """The store as it is now.

        Raises
        ------
        UsageError
            If nothing was indexed yet.
        """
        return Store(self.store_url)

    # -- stages ------------------------------------------------------------------------------------------------------

    def index_the_dirs(self) -> IndexCounts:
        """List the images of the directories; afterwards the store knows what is new, changed and gone."""
        with self._stage("index"), self._bar("index", None, "images") as step:

            def advance(images: int) -> None:
                check()
                step(images)

            roots = {side: [root.absolute for root in self.roots if root.side == side] for side in ("a", "b")}
            if not Store.exists(self.store_url):
                # a store keeps its block size for life, so it must not be made with one that does not fit
                room = capacity(self.client).bytes_per_task
                check_memory(self.thumbnail_settings, room)
                check_compare_memory(self.thumbnail_settings, room)
            store = Store.open_or_create(self.store_url, roots, self.thumbnail_settings)
            if self._sources is not None:
                return index_stores(store, open_sources(self._sources), advance)
            return index_images(
                store,
                self.roots,
                self.index_settings,
                advance,
                time_limit=self.read_settings.time_limit,
                pixel_limit=self.read_settings.pixel_limit,
            )

    def estimate_disk_usage(self, print_results: bool = True) -> tuple[int, int]:
        """Bytes that the thumbnails of side a and of side b take in the store, before compression."""
        frame = self.store.read_images(["side", "current"])
        each = math.prod(self.thumbnail_settings.shape)
        images = {side: int((frame.current & (frame.side == side)).sum()) for side in ("a", "b")}
        if print_results:
            for side, number in images.items():
                for_roots = ", ".join(printable(root.given) for root in self.roots if root.side == side)
                if for_roots:
                    print(f"{for_roots}: {number} images, {with_unit(number * each)}B of thumbnails")
            a, b = images["a"], images["b"]
            print(f"{a * b if self.store.two_sides else a * (a - 1) // 2} comparisons")
        return images["a"] * each, images["b"] * each

    def estimate(self, sample: int = DEFAULT_SAMPLE) -> Estimate:
        """Estimate what all stages will take, from a sample of the files; needs no index and writes nothing.

        What a store has already is not considered: the figures are those of a first run.

        Parameters
        ----------
        sample
            Number of files to read, all if there are fewer; spread evenly over the folders.

        Raises
        ------
        UsageError
            If `sample` is no whole number from 1.
        """
        check_sample(sample)
        if self._sources is not None:
            raise UsageError("an estimate reads pictures, which are not needed here; copying takes seconds")
        files = Files(self.store_url)
        return estimate_job(
            self.client,
            self.roots,
            self.index_settings,
            self.thumbnail_settings,
            self.read_settings,
            sample=sample,
            own=files.root if files.local else None,
        )

    def first_loop_iteration(
        self,
        compute_hash: bool = False,
        amount: int = 4,
        *,
        hash_function: Callable[[Any], str | bytes] | None = None,
        image_hashes: Sequence[str] = (),
    ) -> None:
        """Read the images that were not read yet: thumbnails, metadata, and hashes if asked for.

        Images that were read before get hashes from their thumbnails, if they have none, or have them of another
        function or shift; nothing is computed again that is there.

        Parameters
        ----------
        compute_hash
            Compute ``hash_0`` to ``hash_270`` of every image, those of its thumbnail in four rotations, and
            ``hash_key``, the smallest of them.
        amount
            Bits by which values are shifted before they are hashed, −7 to 7, to the right if positive.
        hash_function
            Used instead of SHA-256, also without `compute_hash`: a function of a thumbnail (h, w, 3) uint8, shifted and
            turned, that gives str or bytes; bytes are kept as hexadecimal digits. Its workers must be able to import
            what it uses.
        image_hashes
            Some of "average", "difference", "perceptual" and "wavelet": hashes of the ImageHash package, of the
            thumbnail as it is, for the columns ``average_hash`` and so on; also without `compute_hash`.

        Raises
        ------
        UsageError
            If a setting cannot be used, nothing was indexed yet, or a block does not fit into a worker's memory.
        FastDiffError
            If the hash function fails or gives something else; blocks that were finished are kept.
        """
        hashing = HashSettings(
            amount=amount,
            function=hash_function,
            # what is no sequence is refused there
            image_hashes=(image_hashes,) if isinstance(image_hashes, str) else _as_tuple(image_hashes),
            turned=compute_hash or hash_function is not None,
        )
        if hash_function is not None:
            check_sendable(hash_function, "hash function")
        wanted = hashing if hashing.turned or hashing.image_hashes else None
        with self._stage("thumbnails"):
            store = self.store
            unread = unread_blocks(store)
            if unread:
                self._check_visible(store, files=True)
                with self._bar("thumbnail", sum(unread.values()), "images") as advance:
                    if self._sources is None:
                        done = read_blocks(store, self.client, unread, self.read_settings, wanted)
                    else:
                        done = copy_blocks(store, self.client, unread, open_sources(self._sources))
                    for images, _ in done:
                        self.images_read += images if self._sources is None else 0
                        advance(images)
            unhashed = [] if wanted is None else unhashed_blocks(store, wanted)
            if unhashed:
                with self._bar("hash", len(unhashed), "blocks") as advance:
                    for _ in hash_blocks(store, self.client, unhashed, hashing):
                        advance(1)

    def second_loop_iteration(
        self,
        similarity_threshold: float | None = None,
        *,
        compare: str | Callable[[Any, Any], Any] = "mse",
        rotations: bool = True,
        mirror: bool = False,
        only_matching_aspect: bool = False,
        match_aspect_by: float | None = None,
        only_matching_hash: bool = False,
        skip_matching_hash: bool = False,
        tile_side: int | None = None,
        sub_block: int | None = None,
    ) -> None:
        """Compare all images with all, as far as that is not done yet.

        Parameters
        ----------
        similarity_threshold
            Largest MSE, or other value, of a similar pair, inclusive; by default 200, for "ssim" 0.1 and for "hamming"
            10. A finished comparison answers every lower one.
        compare
            "mse"; "ssim" (1 − SSIM, 0 for equal images), "hamming" (different bits of perceptual hashes); or a function
            of two chunks of thumbnails, (m, h, w, 3) and (n, h, w, 3) uint8, that gives (m, n) numbers, the smaller
            the more similar. It must not depend on which images share a chunk, nor on the order of two images. All
            pairs are given to it, which MSE does not need; its workers must be able to import what it uses.
        rotations, mirror
            Which transforms of an image count, see `CompareSettings`; a function is called for each of them, of
            either image.
        only_matching_aspect
            Compare only images of the same aspect ratio, up to a quarter turn with `rotations`: match_aspect_by=1.
        match_aspect_by
            0: only images of the same size; f from 1: only those whose aspect ratios are within this factor; up to a
            quarter turn with `rotations`. By the sizes that a person sees, after the EXIF orientation.
        only_matching_hash
            Compare only images with equal hashes: ``hash_key``, without `rotations` ``hash_0``.
        skip_matching_hash
            Do not compare images with equal hashes, which are known duplicates: they are in clusters together and in
            `Result.hash_pairs`, whatever their MSE is, and not in the pairs.
        tile_side, sub_block
            Sub-blocks along the side of a tile, and images in a sub-block; by default they fit the collection and the
            workers. The result does not depend on them.

        Raises
        ------
        UsageError
            If a setting cannot be used, or images were not read yet.
        FastDiffError
            If a function fails or gives what is no matrix of numbers; tiles that were finished are kept.
        """
        measure = None if isinstance(compare, str) and compare == "mse" else resolve_measure(compare)
        settings = CompareSettings(
            similarity_threshold=default_threshold(compare) if similarity_threshold is None else similarity_threshold,
            rotations=rotations,
            mirror=mirror,
            measure="mse" if measure is None else measure.name,
            match_aspect_by=aspect_factor(only_matching_aspect, match_aspect_by),
            only_matching_hash=only_matching_hash,
            skip_matching_hash=skip_matching_hash,
        )
        for name, value in (("tile_side", tile_side), ("sub_block", sub_block)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} is {value!r}; it must be a whole number from 1")
        if sub_block is not None and sub_block > _LARGEST_SUB_BLOCK:
            raise UsageError(
                f"sub_block is {sub_block}; all pairs of two are compared at once, use up to {_LARGEST_SUB_BLOCK}"
            )
        with self._stage("compare"):
            store = self.store
            if unread_blocks(store):
                raise UsageError("some images were not read yet; call first_loop_iteration() first")
            if only_matching_hash or skip_matching_hash:
                settings = replace(settings, hashes=hashing_of(store))
            comparison = choose_comparison(store, settings)
            done = sum(int((plan.counts[:, 0] >= 0).sum()) for plan in comparison.plans())
            if pairs_left(comparison) or unplanned(comparison):
                self._check_visible(store, files=False)
                plan_comparison(comparison, self.client, tile_side=tile_side, sub_block=sub_block)
                with self._bar("compare", pairs_left(comparison), "pairs") as advance:
                    for compared, _ in compare_tiles(comparison, self.client, measure):
                        advance(compared)
        self._tiles_resumed, self._comparison, self._threshold = done, comparison, settings.similarity_threshold

    def find_pairs(
        self,
        similarity_threshold: float | None = None,
        *,
        compare: str | Callable[[Any, Any], Any] = "mse",
        **options: Any,
    ) -> "pd.DataFrame":
        """Compare all images with all and give the similar pairs: `second_loop_iteration`, and then `pairs`."""
        self.second_loop_iteration(similarity_threshold, compare=compare, **options)
        return self.pairs

    # -- results -----------------------------------------------------------------------------------------------------

    def result(self, similarity: float | None = None) -> Result:
        """Pairs, clusters, errors and figures of the comparison that was run.

        Parameters
        ----------
        similarity
            Largest MSE of a pair; by default that of the comparison, and not more.

        Raises
        ------
        UsageError
            If nothing was compared yet, or not up to this MSE.
        """
        if self._comparison is None or self._threshold is None:
            raise UsageError("nothing was compared yet; call second_loop_iteration() first")
        compared = self._comparison.settings
        threshold = self._threshold if similarity is None else similarity
        wanted = replace(compared, similarity_threshold=threshold).similarity_threshold
        if wanted > compared.similarity_threshold:
            raise UsageError(
                f"images were compared up to {'an MSE' if compared.measure == 'mse' else 'a value'} of "
                f"{compared.similarity_threshold}, not {wanted}; "
                f"call second_loop_iteration(similarity_threshold={wanted}) first"
            )
        start = time.monotonic()
        store = self.store
        stats = {
            "images_read": self.images_read,
            "tiles": sum(len(plan.tiles) for plan in self._comparison.plans()),
            "tiles_resumed": self._tiles_resumed,
            "seconds": self.seconds,
        }
        result = collect_result(store, self.roots, self._comparison, wanted, stats)
        self.seconds["results"] = round(time.monotonic() - start, 3)
        return result

    def get_duplicates(
        self, similarity: float | None = None, *, dif_based: bool = True
    ) -> tuple[list[Cluster], list[str]]:
        """Clusters of similar images with the one to keep, and the paths of all others.

        Parameters
        ----------
        similarity
            Largest MSE of a pair; by default that of the comparison, and not more.
        dif_based
            False needs no comparison: a cluster is then what has the same ``hash_key``, between two sides only if both
            have images in it. Time grows with the number of images, see `hash_clusters.collect_hash_clusters`.

        Raises
        ------
        UsageError
            If nothing was compared yet, or not up to this MSE; without a comparison, if there are images without
            hashes.
        """
        if not dif_based:
            if similarity is not None:
                raise UsageError("hashes are equal or not; leave out similarity, or dif_based=False")
            from .hash_clusters import collect_hash_clusters

            clusters = collect_hash_clusters(self.store, self.client, self.roots)
            return clusters, low_quality_of(clusters)
        result = self.result(similarity)
        return result.clusters, result.low_quality

    def to_sql(
        self,
        url: str = "sqlite:///diff.db",
        *,
        similarity: float | None = None,
        password: str | None = None,
        force: bool = False,
    ) -> dict[str, int]:
        """Write images, pairs, clusters and errors into a database, in place of an earlier call; see `sql.write_sql`.

        Parameters
        ----------
        url
            SQLAlchemy's URL of a SQLite file or a MariaDB database; by default ``diff.db`` in the current folder.
        similarity
            Largest MSE of a pair; by default that of the comparison, and not more.
        password, force
            As for `sql.write_sql`.

        Returns
        -------
        Number of rows of each table.
        """
        from .sql import write_sql

        return write_sql(self._tables(similarity), url, password=password, force=force)

    def export(
        self,
        target: str | os.PathLike[str],
        table: str | None = None,
        *,
        form: str | None = None,
        similarity: float | None = None,
        password: str | None = None,
        force: bool = False,
    ) -> dict[str, int]:
        """Write one or all of the tables into a file, a folder or a database; see `export.write_export`."""
        from .export import write_export

        options: dict[str, Any] = {"table": table, "form": form, "password": password, "force": force}
        return write_export(self._tables(similarity), os.fspath(target), **options)

    def _tables(self, similarity: float | None) -> "Tables":
        from .tables import Tables

        return Tables(self.store, self.roots, lambda: self.result(similarity))

    @property
    def pairs(self) -> "pd.DataFrame":
        """The similar pairs, sorted by path: a, b, mse, rotation, mirrored; see `Result.pairs`."""
        return self.result().pairs

    @property
    def errors(self) -> "pd.DataFrame":
        """Files that could not be compared, sorted by path: path, error."""
        return collect_errors(self.store, self.roots)

    def print_preprocessing_errors(self) -> None:
        """Print the files that could not be compared, and why."""
        for row in self.errors.itertuples():
            print(f"{printable(row.path)}: {printable(row.error)}")

    # -- as Dask collections -----------------------------------------------------------------------------------------

    @property
    def images(self) -> "dd.DataFrame":
        """Metadata of the images, errors included, as a Dask DataFrame: one partition a block, indexed by number."""
        from .frames import images_frame

        return images_frame(self.store)

    @property
    def thumbnails(self) -> "da.Array":
        """Thumbnails in the order of `images`: a Dask array (n, height, width, 3) uint8; 0 where there is an error."""
        from .frames import thumbnails_array

        store = self.store
        if unread_blocks(store):
            raise UsageError("some images were not read yet; call first_loop_iteration() first")
        return thumbnails_array(store)

    def mse(self, *, rotations: bool = True, mirror: bool = False, persist: bool = False) -> "da.Array":
        """Exact MSE of all images with all, lazily, in the order of `images`.

        A Dask array (n, n) float64; NaN where there is an error. With two sides, those of side a in rows and those
        of side b in columns.

        Parameters
        ----------
        rotations, mirror
            Which transforms of an image count, see `CompareSettings`.
        persist
            Compute it now, into the store, chunk by chunk; chunks that are there already are not computed again. Takes
            8 bytes a pair on disk, before compression.
        """
        from .frames import mse_array, persist_mse

        store = self.store
        if unread_blocks(store):
            raise UsageError("some images were not read yet; call first_loop_iteration() first")
        if not persist:
            return mse_array(store, rotations=rotations, mirror=mirror)
        with self.writing(), self._bar("mse", None, "chunks") as advance:
            return persist_mse(store, self.client, rotations=rotations, mirror=mirror, advance=advance)


def find_duplicates(
    directory_a: Directories,
    directory_b: Directories | None = None,
    *,
    similarity_threshold: float = 200.0,
    rotations: bool = True,
    mirror: bool = False,
    only_matching_aspect: bool = False,
    match_aspect_by: float | None = None,
    only_matching_hash: bool = False,
    skip_matching_hash: bool = False,
    **options: Any,
) -> Result:
    """Find the duplicates of a collection, or of one against another: all stages, as far as they are not done yet.

    Parameters
    ----------
    directory_a, directory_b
        Folder or folders to search, and to compare them with.
    similarity_threshold, rotations, mirror
        What makes a pair similar, see `CompareSettings`.
    only_matching_aspect, match_aspect_by, only_matching_hash, skip_matching_hash
        Which pairs are compared, see `FastDifPy.second_loop_iteration`; hashes are computed if they are needed.
    options
        As for `FastDifPy`.

    Returns
    -------
    The pairs, the clusters with what to keep, the errors.

    Raises
    ------
    UsageError
        If a directory or a setting cannot be used.
    """
    comparison: dict[str, Any] = {
        "similarity_threshold": similarity_threshold,
        "rotations": rotations,
        "mirror": mirror,
        "match_aspect_by": aspect_factor(only_matching_aspect, match_aspect_by),
        "only_matching_hash": only_matching_hash,
        "skip_matching_hash": skip_matching_hash,
    }
    CompareSettings(**comparison)
    with FastDifPy(directory_a, directory_b, **options) as db, db.writing():
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=only_matching_hash or skip_matching_hash)
        db.second_loop_iteration(**comparison)
        return db.result()
