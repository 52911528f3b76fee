"""`FastDifPy`: the four stages over one store, under the names that users of fast_diff_py know."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..compat.fast_diff_py import RunState
from ..config import DEFAULT_BLOCK_SIZE, PIXEL_LIMIT, TIME_LIMIT
from ..errors import UsageError
from ..kernels.cuda import check_gpu
from ..kernels.hashes import HashSettings
from ..kernels.pair_filters import PairFilters
from ..outputs.progress_bar import show_line
from ..results.clusters import Cluster, low_quality_of
from ..results.collect import collect_errors, collect_result
from ..results.result import Result
from ..runtime.faults import connected
from ..runtime.memory import check_compare_memory, check_memory, check_tiles
from ..runtime.performance_report import PerformanceReport
from ..runtime.signals import check
from ..runtime.workers import capacity, check_visible, gpu_workers
from ..stages.compare import compare_tiles, plan_comparison
from ..stages.estimate import DEFAULT_SAMPLE, Estimate, check_sample, estimate_job, thumbnail_bytes
from ..stages.index import IndexCounts
from ..stages.thumbnails import hash_blocks
from ..storage.cleanup import clean_store, print_left
from ..storage.comparisons import Comparison
from ..storage.files import Files
from ..storage.pending import (
    check_read,
    choose_comparison,
    hashing_of,
    pairs_left,
    unhashed_blocks,
    unplanned,
    unread_blocks,
)
from ..storage.store import Store
from ..text import printable
from .arguments import Directories, asked_comparison, asked_hashes, names_of, with_given
from .client import ProjectClient
from .locations import Opened, checked_store, open_folders, open_two_stores, plot_folder
from .options import Settings, record_settings, recorded_settings
from .session import StoreSession

if TYPE_CHECKING:
    import dask.array as da
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client

    from ..actions.removal_plan import RemovalPlan
    from ..actions.removals import Outcome
    from ..outputs.pair import Pair
    from ..outputs.tables import Tables

__all__ = ["FastDifPy"]


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
        50 MB as it is), and either what it takes to compare (`memory.compare_task_bytes`), or a process beside it of
        50 MB with a file, its decoded picture and a copy; about 1 kB an image while indexing, and about 1 kB an image
        in the results. Nothing else grows with the collection. Settings that do not fit into the workers' memory are
        refused before anything is computed.
    exact_decode
        Decode JPEG pictures at full scale and resize by the plain bicubic filter: slower, see `decode.read_opened`.
    time_limit, pixel_limit
        Seconds that reading a file may take (0: any), and pixels that a picture may have; files beyond are listed as
        errors, and tried again when a later run has a higher limit.
    recursive, extensions, ignore_names, ignore_paths
        Which files are images, see `IndexSettings`.
    performance_report
        File for Dask's performance report of what is computed, written when this is closed, also after a failure.
    in_memory, update_timeout
        Hold the store in the memory of this process, and save it to `store` every so many seconds, and after each
        stage; a later run begins with what was saved. Memory: 14 kB an image, and what is found. Not with workers in
        other processes.
    cfg_path, retain_config
        TOML file for the settings of this run, and whether to write it, at the begin of each stage; see `from_config`.
    verbose
        Show progress bars, by default on a terminal and in notebooks only; False keeps the dashboard's address quiet.

    Attributes
    ----------
    settings
        What was asked for, see `options.Settings`.
    roots
        The folders.
    store_url
        Address of the store.
    seconds
        Seconds that each stage took.
    images_read
        Pictures that were read, since this was made.

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
        in_memory: bool = False,
        update_timeout: float = 30.0,
        cfg_path: str | os.PathLike[str] | None = None,
        retain_config: bool = False,
        verbose: bool | None = None,
    ) -> None:
        settings = Settings(
            p_root_dir_a=names_of(directory_a),
            p_root_dir_b=names_of(directory_b),
            thumbnail_size_x=thumbnail_size_x,
            thumbnail_size_y=thumbnail_size_y,
            block_size=block_size,
            exact_decode=exact_decode,
            time_limit=time_limit,
            pixel_limit=pixel_limit,
            recursive=recursive,
            supported_file_types=names_of(extensions),
            ignore_names=names_of(ignore_names),
            ignore_paths=names_of(ignore_paths),
            store=None if store is None else names_of(store)[0],
            in_memory=in_memory,
            update_timeout=update_timeout,
            cfg_path=None if cfg_path is None else names_of(cfg_path)[0],
            retain_config=retain_config,
            verbose=verbose,
        )
        used = ProjectClient(client, workers, threads, dashboard_address)
        self._begin(open_folders(settings), used, performance_report)

    def _begin(self, opened: Opened, client: ProjectClient, performance_report: str | os.PathLike[str] | None) -> None:
        """Set what the stages work with, and what changes while they run."""
        self._client = client
        if performance_report is not None:
            client.report = PerformanceReport(performance_report)
        self._origin, self.roots = opened.origin, opened.origin.roots
        self._defaults = self.settings = opened.settings
        self.verbose = opened.settings.verbose
        self._wrote_config = False
        self._kept = StoreSession(opened.store_url, opened.settings.in_memory, opened.settings.update_timeout)
        self.store_url, self.saved_url = self._kept.url, self._kept.saved_url
        self._comparison: Comparison | None = None
        self._threshold: float | None = None
        self._tiles_resumed = 0
        self.seconds: dict[str, float] = {}
        self.images_read = 0

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Make a project of the settings in a TOML file, which the stages take where they are given nothing else.

        Parameters
        ----------
        path
            The file: names and values of `options.Settings`; folders and files are relative to its folder.
        options
            `client`, `workers`, `threads`, `dashboard_address` and `performance_report`, as for the class.

        Raises
        ------
        UsageError
            If the file cannot be read, or has something that is no setting, or a value that cannot be used.

        Examples
        --------
        >>> import tempfile
        >>> from fastdiff_dask.testing import simulate_images
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     photos = simulate_images(folder + "/photos", images=3, duplicates=1)
        ...     with open(folder + "/photos.toml", "w") as file:
        ...         _ = file.write('p_root_dir_a = "photos"\\nstore = "store"\\nsimilarity_threshold = 150')
        ...     with FastDifPy.from_config(folder + "/photos.toml") as db:
        ...         counts = db.index_the_dirs()
        ...         db.first_loop_iteration()
        ...         db.second_loop_iteration()
        ...         print(db.result().settings["similarity_threshold"], db.config.state)
        150.0 second_loop_done
        """
        known = ("client", "workers", "threads", "dashboard_address", "performance_report")
        for name in options:
            if name not in known:
                raise UsageError(f"{name} is no option of from_config; write it into the file")
        return cls.from_settings(Settings.read(path), **options)

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        client: "Client | None" = None,
        workers: int | None = None,
        threads: int | None = None,
        dashboard_address: str | None = None,
        performance_report: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a project of settings, which the stages take where they are given nothing else.

        Parameters
        ----------
        settings
            All options, see `options.Settings`.
        client, workers, threads, dashboard_address, performance_report
            As for the class.

        Raises
        ------
        UsageError
            If a folder or an option cannot be used.
        """
        db = cls.__new__(cls)
        used = ProjectClient(client, workers, threads, dashboard_address)
        db._begin(open_folders(settings), used, performance_report)
        return db

    @classmethod
    def from_store(
        cls,
        store: str | os.PathLike[str],
        *,
        client: "Client | None" = None,
        workers: int | None = None,
        threads: int | None = None,
        dashboard_address: str | None = None,
        performance_report: str | os.PathLike[str] | None = None,
        in_memory: bool = False,
        verbose: bool | None = None,
    ) -> Self:
        """Go on with a store where a run left it, which may have been killed: every stage does what is missing.

        The settings are those of the last run, also of the stages, where these are given nothing else. A store says
        nothing about where to write besides: of another place for plots or for a settings file nothing is taken over.

        Parameters
        ----------
        store
            Folder or fsspec URL of the store.
        client, workers, threads, dashboard_address, performance_report, in_memory, verbose
            As for the class.

        Raises
        ------
        UsageError
            If there is no store, or a folder that it is about.

        Examples
        --------
        >>> import tempfile
        >>> from fastdiff_dask.testing import simulate_images
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     photos = simulate_images(folder + "/photos", images=3, duplicates=1)
        ...     with FastDifPy(folder + "/photos", store=folder + "/store") as db:
        ...         counts = db.index_the_dirs()
        ...     with FastDifPy.from_store(folder + "/store") as db:
        ...         print(db.config.state)
        ...         db.first_loop_iteration()
        ...         print(db.config.state)
        indexed_dirs
        first_loop_done
        """
        db = cls.__new__(cls)
        used = ProjectClient(client, workers, threads, dashboard_address)
        url = checked_store(os.fspath(store))
        settings, sources = recorded_settings(Store(url))
        settings = replace(settings, store=url, verbose=verbose, in_memory=in_memory)
        opened = open_two_stores(sources, settings) if sources else open_folders(settings)
        db._begin(opened, used, performance_report)
        return db

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
        used = ProjectClient(client, workers, threads, dashboard_address)
        settings = Settings(block_size=block_size, store=None if store is None else os.fspath(store), verbose=verbose)
        opened = open_two_stores({"a": os.fspath(store_a), "b": os.fspath(store_b)}, settings)
        db._begin(opened, used, performance_report)
        return db

    # -- resources ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the performance report, if it was asked for, and end the client that was started here, if any."""
        self._client.close()

    @property
    def client(self) -> "Client":
        """The Dask client in use; started now if there is none yet."""
        return self._client.get(self.store_url, self._origin, self.verbose)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing over several stages; each stage does so by itself otherwise."""
        with self._kept.writing():
            yield

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        with self._kept.stage(self._client.own, first=name == "index"):
            if name != "index":
                self._record()
            yield
        self.seconds[name] = round(time.monotonic() - start, 3)

    def _bar(self, name: str, total: int | None, unit: str) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        return self._kept.bar(name, total, unit, self.verbose)

    def _record(self) -> None:
        """Keep the settings in the store, and in their file."""
        a, b = (tuple(root.given for root in self.roots if root.side == side) for side in ("a", "b"))
        settings = replace(self.settings, p_root_dir_a=a, p_root_dir_b=b, store=self.saved_url)
        record_settings(self.store, settings, self._origin.stores)
        if settings.retain_config:
            settings.write(str(settings.cfg_path))
            self._wrote_config = True

    @property
    def config(self) -> RunState:
        """The settings, and how far the job is; under the names of fast_diff_py's configuration, see `RunState`."""
        return RunState(self.settings, self._kept.newest_url)

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
                check_memory(self.settings.thumbnails, room)
                check_compare_memory(self.settings.thumbnails, room)
            store = Store.open_or_create(self.store_url, roots, self.settings.thumbnails)
            self._record()
            return self._origin.index(store, self.settings.index, self.settings.reading, advance)

    def estimate_disk_usage(self, print_results: bool = True) -> tuple[int, int]:
        """Bytes that the thumbnails of side a and of side b take in the store, before compression."""
        return thumbnail_bytes(self.store, self.roots, self.settings.thumbnails, print_results=print_results)

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
        if self._origin.stores:
            raise UsageError("an estimate reads pictures, which are not needed here; copying takes seconds")
        files = Files(self.saved_url)
        return estimate_job(
            self.client,
            self.roots,
            self.settings.index,
            self.settings.thumbnails,
            self.settings.reading,
            sample=sample,
            own=files.root if files.local else None,
        )

    def first_loop_iteration(
        self,
        compute_thumbnails: bool | None = None,
        compute_hash: bool | None = None,
        amount: int | None = None,
        cpu_proc: int | None = None,
        *,
        hash_function: Callable[[Any], str | bytes] | None = None,
        image_hashes: Sequence[str] = (),
    ) -> None:
        """Read the images that were not read yet: thumbnails, metadata, and hashes if asked for.

        Images that were read before get hashes from their thumbnails, if they have none, or have them of another
        function or shift; nothing is computed again that is there.

        What is not given is as the settings say, see `from_config` and `from_store`; else as here.

        Parameters
        ----------
        compute_thumbnails
            True; if False, nothing is read now unless there are hashes to compute, which are made of thumbnails, and
            `second_loop_iteration` begins with that.
        compute_hash
            False; or compute ``hash_0`` to ``hash_270`` of every image, those of its thumbnail in four rotations, and
            ``hash_key``, the smallest of them.
        amount
            4: bits by which values are shifted before they are hashed, −7 to 7, to the right if positive.
        cpu_proc
            Tasks that run at once, at most; by default as many as the workers have threads, and never more.
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
        self.settings = settings = with_given(
            self.settings,
            self._defaults,
            fl_compute_thumbnails=compute_thumbnails,
            fl_compute_hash=compute_hash,
            fl_shift_amount=amount,
            fl_cpu_proc=cpu_proc,
        )
        wanted = asked_hashes(settings, hash_function, image_hashes)
        with self._stage("thumbnails"):
            if settings.fl_compute_thumbnails or wanted is not None:
                self._read(wanted, settings.fl_cpu_proc)

    def _read(self, wanted: HashSettings | None, most: int | None) -> None:
        """Read, or copy, what was not, and complete hashes; by so many tasks at once."""
        store = self.store
        unread = unread_blocks(store)
        if unread:
            self._origin.check_visible(self.client, store)
            store.forget_stale()
            with self._bar("thumbnail", sum(unread.values()), "images") as advance:
                for images, _ in self._origin.read(store, self.client, unread, self.settings.reading, wanted, most):
                    self.images_read += 0 if self._origin.stores else images
                    advance(images)
        unhashed = [] if wanted is None else unhashed_blocks(store, wanted)
        if unhashed and wanted is not None:
            with self._bar("hash", len(unhashed), "blocks") as advance:
                for _ in hash_blocks(store, self.client, unhashed, wanted, most):
                    advance(1)

    def second_loop_iteration(
        self,
        similarity_threshold: float | None = None,
        *,
        compare: str | Callable[[Any, Any], Any] | None = None,
        rotations: bool | None = None,
        mirror: bool | None = None,
        only_matching_aspect: bool | None = None,
        match_aspect_by: float | None = None,
        only_matching_hash: bool | None = None,
        skip_matching_hash: bool | None = None,
        make_diff_plots: bool | None = None,
        diff_location: str | os.PathLike[str] | None = None,
        plot_limit: int | None = None,
        gpu_proc: int | None = None,
        cpu_proc: int | None = None,
        tile_side: int | None = None,
        sub_block: int | None = None,
    ) -> None:
        """Compare all images with all, as far as that is not done yet.

        What is not given is as the settings say, see `from_config` and `from_store`; else MSE with rotations, of all
        pairs, without plots.

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
        make_diff_plots, diff_location, plot_limit
            Draw a picture of each similar pair, both images and where they differ, into this folder, by default
            ``plots`` in the store; at most so many, 1,000 if nothing is said, the most similar ones first. Needs
            Matplotlib (``pip install 'fastdiff_dask[plot]'``). See `plots.draw_plots`.
        gpu_proc
            Compare on GPUs, by so many tasks at once on each: those of the workers that have one and CuPy
            (``pip install 'fastdiff_dask[cuda12]'`` or ``[cuda13]``), one or two; 0 for processors. The result is the
            same, and either goes on with what the other began. By MSE, and without short cuts, which processors do.
        cpu_proc
            Tasks that run at once, at most; by default as many as the workers have threads, and never more. For
            processors; on GPUs `gpu_proc` counts.
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
        asked, measure = asked_comparison(
            self.settings,
            self._defaults,
            compare,
            similarity_threshold=similarity_threshold,
            sl_rotations=rotations,
            sl_mirror=mirror,
            sl_matching_aspect=only_matching_aspect,
            sl_match_aspect_by=match_aspect_by,
            sl_matching_hash=only_matching_hash,
            sl_skip_matching_hash=skip_matching_hash,
            sl_make_diff_plots=make_diff_plots,
            sl_plot_output_dir=None if diff_location is None else os.fspath(diff_location),
            sl_plot_limit=plot_limit,
            sl_gpu_proc=gpu_proc,
            sl_cpu_proc=cpu_proc,
        )
        settings = asked.comparison
        if asked.sl_gpu_proc and measure is not None:
            raise UsageError("a GPU compares by MSE alone; leave out gpu_proc=, or compare=")
        if asked.sl_gpu_proc and self._client.find() is None:
            check_gpu()  # workers that are started here have what this process has
        gpus: dict[str, int] = {}
        if asked.sl_gpu_proc:
            with connected(self._client.find()):
                found = gpu_workers(self.client, asked.sl_gpu_proc)
            gpus = {} if PairFilters.of(settings) else found
        plots = self._plot_folder(asked.sl_plot_output_dir) if asked.sl_make_diff_plots else None
        check_tiles(tile_side, sub_block)
        self.settings = asked
        with self._stage("compare"):
            store = self.store
            if unread_blocks(store) and not asked.fl_compute_thumbnails:
                self._read(None, asked.fl_cpu_proc)
            check_read(store)
            if settings.only_matching_hash or settings.skip_matching_hash:
                settings = replace(settings, hashes=hashing_of(store))
            comparison = choose_comparison(store, settings)
            done = sum(int((plan.counts[:, 0] >= 0).sum()) for plan in comparison.plans())
            if pairs_left(comparison) or unplanned(comparison):
                check_visible(self.client, store.url, [])
                sizes: dict[str, Any] = {"tile_side": tile_side, "sub_block": sub_block}
                plan_comparison(comparison, self.client, gpu_tasks=sum(gpus.values()), **sizes)
                without_gpu: dict[str, str] = {}
                with self._bar("compare", pairs_left(comparison), "pairs") as advance:
                    for tile in compare_tiles(comparison, self.client, measure, asked.sl_cpu_proc, gpus):
                        advance(tile.pairs)
                        without_gpu.update([tile.without_gpu] if tile.without_gpu else [])
                for address, reason in without_gpu.items():
                    if self.verbose is not False:
                        show_line(f"The GPU of {address} failed ({reason}); the others, or processors, went on.")
        self._tiles_resumed, self._comparison, self._threshold = done, comparison, settings.similarity_threshold
        if plots is not None:
            self._draw(plots)

    def _plot_folder(self, folder: str | None) -> Path:
        from ..outputs.plots import check_plots

        return check_plots(plot_folder(folder, self.saved_url, self.roots))

    def _draw(self, folder: Path) -> None:
        from ..outputs.plots import draw_plots

        result, limit = self.result(), self.settings.sl_plot_limit
        with self._stage("plots"):
            store = self.store
            check_visible(self.client, store.url, [str(folder)])
            with self._bar("plots", min(limit, result.pair_count), "pairs") as advance:
                for drawn in draw_plots(store, self.client, result, folder, limit):
                    advance(drawn)

    def find_pairs(
        self,
        similarity_threshold: float | None = None,
        *,
        compare: str | Callable[[Any, Any], Any] | None = None,
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
            from ..results.hash_clusters import collect_hash_clusters

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
        from ..outputs.sql import write_sql

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
        from ..outputs.export import write_export

        options: dict[str, Any] = {"table": table, "form": form, "password": password, "force": force}
        return write_export(self._tables(similarity), os.fspath(target), **options)

    def _tables(self, similarity: float | None) -> "Tables":
        from ..outputs.tables import Tables

        return Tables(self.store, self.roots, lambda: self.result(similarity))

    @property
    def pairs(self) -> "pd.DataFrame":
        """The similar pairs, sorted by path: a, b, mse, rotation, mirrored; see `Result.pairs`."""
        return self.result().pairs

    def pair(self, a: str, b: str) -> "Pair":
        """Two images side by side, similar or not: a notebook shows both, where they differ, and their MSE.

        Memory and time grow with the number of images, by some 200 B and microseconds each.

        Parameters
        ----------
        a, b
            Their paths, as `pairs` has them.

        Raises
        ------
        UsageError
            If there is no such image, or it was not read.
        """
        from ..outputs.pair import look_at_pair

        store = self.store
        check_read(store)
        return look_at_pair(store, self.roots, os.fspath(a), os.fspath(b), self.settings.comparison)

    def _repr_html_(self) -> str:
        """Stages, progress and settings, for notebooks."""
        from ..compat.fast_diff_py import show_state

        return show_state(self.config, self.saved_url)

    @property
    def errors(self) -> "pd.DataFrame":
        """Files that could not be compared, sorted by path: path, error."""
        return collect_errors(self.store, self.roots)

    def print_preprocessing_errors(self) -> None:
        """Print the files that could not be compared, and why."""
        for row in self.errors.itertuples():
            print(f"{printable(row.path)}: {printable(row.error)}")

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        limit: int | None = None,
        similarity: float | None = None,
        keep: Sequence[str] = (),
        prefer: Directories = (),
        protect: Directories = (),
    ) -> int:
        """Write what was found as one HTML file, to look at it and mark what may go; see `report.write_report`.

        Parameters
        ----------
        path
            The file.
        limit
            Clusters to show at most; 10,000 by default.
        similarity
            Largest MSE of a pair; by default that of the comparison, and not more.
        keep, prefer, protect
            What is suggested, as for `plan`.

        Returns
        -------
        Number of clusters that it shows.
        """
        from ..outputs.report import LIMIT, write_report
        from ..results.keep_rules import KeepRules

        rules = KeepRules(rules=names_of(keep), prefer=names_of(prefer), protect=names_of(protect))
        shown = LIMIT if limit is None else limit
        return write_report(self.store, self.result(similarity), path, limit=shown, rules=rules)

    # -- what may go -------------------------------------------------------------------------------------------------

    def plan(
        self,
        keep: Sequence[str] = (),
        *,
        prefer: Directories = (),
        protect: Directories = (),
        decisions: str | os.PathLike[str] | None = None,
        similarity: float | None = None,
    ) -> "RemovalPlan":
        """What may go of what was found, each image for one that is kept and similar to it itself; touches nothing.

        Parameters
        ----------
        keep
            Rules, the first one counts most: "most-pixels", "largest", "oldest", "newest", "shortest-path"; by default
            most pixels, then the largest file, then the path.
        prefer, protect
            Folders whose images are kept rather than others, in this order; and in which nothing goes.
        decisions
            File of marks from the report: only what is removed there goes, and not for what is no duplicate of it
            there, which `apply` has the store remember.
        similarity
            Largest MSE of a pair; by default that of the comparison, and not more.

        Returns
        -------
        The plan; ``to_frame()`` gives it as a table.
        """
        from ..actions.decisions import Decisions, read_decisions
        from ..actions.journal import History
        from ..actions.removal_plan import plan_removals
        from ..results.keep_rules import KeepRules

        rules = KeepRules(rules=names_of(keep), prefer=names_of(prefer), protect=names_of(protect))
        decided = Decisions() if decisions is None else read_decisions(self.store, decisions)
        return plan_removals(self.store, self.result(similarity), rules, decided, history=History())

    def apply(
        self,
        plan: "RemovalPlan",
        action: str,
        folder: str | os.PathLike[str] | None = None,
        *,
        keep_metadata: bool = False,
    ) -> "list[Outcome]":
        """Do what a plan says: each pair is read and compared again right before, and nothing is overwritten.

        Parameters
        ----------
        plan
            What `plan` gave.
        action
            "move" (to `folder`), "trash", "delete" (without a way back), "hardlink" or "symlink" (to the image that is
            kept).
        folder
            Where to move to.
        keep_metadata
            Copy capture date and GPS position of a JPEG file that goes into that which is kept, where it has none; its
            picture stays as it is. Needs piexif (``pip install 'fastdiff_dask[metadata]'``). Not undone by `undo`.

        Returns
        -------
        What became of each file, and of those that stay the reason.
        """
        from ..actions.apply import apply_plan

        self.result()
        assert self._comparison is not None
        if plan.apart:
            self._remember_apart(plan.apart)
        settings = self._comparison.settings
        return list(apply_plan(Store(self.saved_url), plan, settings, action, folder, keep_metadata=keep_metadata))

    def undo(self) -> "list[Outcome]":
        """Bring back what the last `apply` to this store, in whatever process, has moved, trashed or linked."""
        from ..actions.journal import last_to_undo
        from ..actions.undo import undo

        found, _ = last_to_undo(self.saved_url)
        if found is None:
            raise UsageError(f"there is nothing to undo of {self.saved_url}; what was deleted cannot come back")
        return list(undo(found))

    def not_duplicates(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Keep in the store that images are no duplicates of each other, by content; gives the number of new pairs.

        Parameters
        ----------
        pairs
            Paths of two images, as in `pairs`.
        """
        from ..actions.decisions import numbers_of_pairs

        return self._remember_apart(numbers_of_pairs(self.result(), pairs))

    def _remember_apart(self, numbers: list[tuple[int, int]]) -> int:
        from ..actions.decisions import remember_not_duplicates

        with self.writing():
            added = remember_not_duplicates(self.store, numbers)
            self._kept.save()
        return added

    def print_compare_errors(self) -> None:
        """Print the pairs that could not be compared: none, as what has a thumbnail can be compared with all others.

        A function of your own that fails ends `second_loop_iteration`.
        """
        print("0 pairs could not be compared")

    def clean_up(self, thumbs: bool = True, db: bool = True, config: bool = True) -> None:
        """Remove what is not needed any more from the store; never a picture, nor a file that a store does not write.

        Parameters
        ----------
        thumbs
            Remove the thumbnails, most of what it takes. Results can still be read; when there is something to
            compare, all pictures are read and compared again.
        db
            Remove what was found and, with `thumbs`, what is known of the pictures: nothing is left.
        config
            Remove the settings: those in the store, and the file `cfg_path` if this wrote it.

        Raises
        ------
        StoreLockedError
            If another process holds the store.
        UsageError
            If there is no store.
        """
        for name, value in (("thumbs", thumbs), ("db", db), ("config", config)):
            if not isinstance(value, bool):
                raise UsageError(f"{name} is {value!r}; it must be True or False")
        Store(self.saved_url)
        with self.writing():
            self._comparison = None if db else self._comparison
            others = clean_store(self.saved_url, thumbs=thumbs, db=db, config=config)
            self._kept.reload()
        if config and self._wrote_config:
            Path(str(self.settings.cfg_path)).unlink(missing_ok=True)
        print_left(self.saved_url, others, plots=db)

    # -- as Dask collections -----------------------------------------------------------------------------------------

    @property
    def images(self) -> "dd.DataFrame":
        """Metadata of the images, errors included, as a Dask DataFrame: one partition a block, indexed by number."""
        from ..results.dask_collections import images_frame

        return images_frame(self.store)

    @property
    def thumbnails(self) -> "da.Array":
        """Thumbnails in the order of `images`: a Dask array (n, height, width, 3) uint8; 0 where there is an error."""
        from ..results.dask_collections import thumbnails_array

        store = self.store
        check_read(store)
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
        from ..results.dask_collections import mse_array, persist_mse

        store = self.store
        check_read(store)
        if not persist:
            return mse_array(store, rotations=rotations, mirror=mirror)
        with self.writing(), self._bar("mse", None, "chunks") as advance:
            try:
                return persist_mse(store, self.client, rotations=rotations, mirror=mirror, advance=advance)
            finally:
                self._kept.save()
