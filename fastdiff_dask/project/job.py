"""The stages of a project over one store: index, thumbnails, comparison, result."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..config import EDITED_SIZE, check_threshold, check_whole
from ..errors import UsageError
from ..images.decoder_pool import close_readers, start_readers
from ..kernels.cuda import check_gpu
from ..kernels.hashes import HashSettings
from ..kernels.measures import Measure
from ..kernels.pair_filters import PairFilters
from ..kernels.transforms import available_transforms
from ..outputs.progress_bar import show_line
from ..results.collect import collect_result, collect_same_files
from ..results.result import Result
from ..results.stored import choose_stored, remember_shown
from ..results.values import PairValue, with_threshold
from ..results.verdicts import pairs_to_look_at
from ..runtime.faults import connected
from ..runtime.lost_workers import lost_workers_told
from ..runtime.signals import check
from ..stages.index import IndexCounts, leave_out_by_resolution
from ..storage.comparisons import Comparison
from ..storage.derived.vectors import Vectors
from ..storage.derived.verdicts import read_verdicts
from ..storage.pending import (
    check_encoded,
    check_read,
    choose_comparison,
    images_without_vectors,
    is_finished,
    pairs_left,
    unhashed_blocks,
    unread_blocks,
)
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import counted, printable
from ..urls import full_path
from ..vectors.metrics import check_vectors
from .arguments import hash_settings, merge_arguments, merge_comparison, named_threshold, one_threshold
from .client import ProjectClient
from .known_stores import remember_store
from .locations import open_folders, open_two_stores, plot_folder
from .options import ClientOptions, Settings
from .saved_settings import record_settings, write_settings
from .session import StoreSession

if TYPE_CHECKING:
    from distributed import Client

    from ..inspection.inspection import Inspection

__all__ = ["Job"]

# Decoders that are started before it is known how many pictures there are.
_EARLY_DECODERS = 2


class Job:
    """Index, read and compare the images of a project, stage by stage.

    Finished work is in the store: a stage that is called again, in this process or another, does the rest only. A job
    is a context manager, which ends the client that was started here.

    Parameters
    ----------
    settings
        The options; stages take them where they are given nothing else.
    client
        The Dask client, or how to start one; by default the current one, else threads of this process.
    sources
        Addresses of two stores by side, "a" and "b", to compare in place of folders.

    Attributes
    ----------
    settings
        The options, with those that the stages were given.
    roots
        The folders.
    store_url
        Address of the store.
    seconds
        Seconds that each stage took.
    images_read
        Pictures that were read since this was made.

    Raises
    ------
    UsageError
        If a folder or an option cannot be used. Nothing is written before `index`.
    """

    def __init__(
        self, settings: Settings, client: ClientOptions | None = None, sources: dict[str, str] | None = None
    ) -> None:
        self._client = ProjectClient(client or ClientOptions(), settings.in_memory)
        opened = open_two_stores(sources, settings) if sources else open_folders(settings)
        self._origin, self.roots = opened.origin, opened.origin.roots
        self._defaults = self.settings = opened.settings
        self.verbose = opened.settings.verbose
        self._wrote_config = False
        self._session = StoreSession(opened.store_url, opened.settings.in_memory, opened.settings.update_timeout)
        self.store_url, self.saved_url = self._session.url, self._session.saved_url
        self._comparison: Comparison | None = None
        self._from_store = False
        self._threshold: float | None = None
        self._of_files: bool | None = None
        self._files_found: Result | None = None
        self._tiles_resumed = 0
        self.seconds: dict[str, float] = {}
        self.images_read = 0
        self._is_writing = self._has_decoders = False
        self._verified: tuple[Any, Result] | None = None
        self._inspection: Inspection | None = None

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
        """Lock the store over several stages, and keep their decoders. Without this each stage does it by itself."""
        if self._is_writing:
            yield
            return
        self._is_writing = True
        try:
            with self._session.writing():
                yield
        finally:
            self._is_writing, self._verified, self._files_found = False, None, None
            self._end_decoders()

    @contextlib.contextmanager
    def _decoding(self) -> Iterator[None]:
        """End the decoders of the workers after this stage, or after the last one of several."""
        self._has_decoders = True
        try:
            yield
        finally:
            if not self._is_writing:
                self._end_decoders()

    def _start_decoders(self) -> None:
        """Start the first decoders while Dask is imported, if a worker in this process will use them."""
        if self._is_writing and not self._has_decoders and not self._origin.stores and self._client.is_to_be_started:
            self._has_decoders = True
            start_readers(min(_EARLY_DECODERS, self._client.threads))

    def _end_decoders(self) -> None:
        client = self._client.find()
        if self._has_decoders and client is not None:
            from ..stages.thumbnails import end_readers

            end_readers(client)
        elif self._has_decoders:
            close_readers()
        self._has_decoders = False

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        self._verified = self._inspection = self._files_found = None
        own = self._client.own
        watched = None if self.verbose is False else own
        with self._session.stage(own, first=name == "index"), lost_workers_told(watched, show_line):
            if name != "index":
                self._record()
            yield
        self.seconds[name] = round(time.monotonic() - start, 3)

    def _bar(self, name: str, total: int | None, unit: str) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        return self._session.bar(name, total, unit, self.verbose)

    def _record(self) -> None:
        """Record the settings in the store, and write them to their file, if that was asked for."""
        a, b = (tuple(root.given for root in self.roots if root.side == side) for side in ("a", "b"))
        settings = replace(self.settings, p_root_dir_a=a, p_root_dir_b=b, store=self.saved_url)
        record_settings(self.store, settings, self._origin.stores)
        if settings.retain_config:
            write_settings(settings, str(settings.cfg_path))
            self._wrote_config = True

    @property
    def store(self) -> Store:
        """The store as it is now.

        Raises
        ------
        UsageError
            If nothing was indexed yet.
        """
        return self._session.open()

    # -- stages ------------------------------------------------------------------------------------------------------

    def index(self) -> IndexCounts:
        """List the images of the directories, and record in the store which are new, changed and gone."""
        with self._stage("index"), self._bar("index", None, "images") as step:

            def advance(images: int) -> None:
                check()
                step(images)

            roots = {side: [root.absolute for root in self.roots if root.side == side] for side in ("a", "b")}
            if not Store.exists(self.store_url) and not self.settings.identical:  # which decodes nothing
                # a store keeps its block size for life, so it must not be made with one that does not fit
                self._start_decoders()
                self._check_block_size()
            store = Store.open_or_create(self.store_url, roots, self.settings.thumbnails)
            self._record()
            remember_store(self.saved_url, roots)
            counts = self._origin.index(store, self.settings.index, self.settings.reading, advance)
        for path in counts.unused if self.verbose is not False else ():
            show_line(
                f"Nothing was left out by the ignored path {printable(path)}: there is no such file or folder here."
            )
        return counts

    def _check_block_size(self) -> None:
        from ..runtime.memory import check_compare_memory, check_memory
        from ..runtime.workers import capacity

        room = capacity(self.client).bytes_per_task
        check_memory(self.settings.thumbnails, room)
        check_compare_memory(self.settings.thumbnails, room)

    def make_thumbnails(
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

        Images that were read before get hashes from their thumbnails, if they have none, or those of another function
        or shift. Nothing is computed twice.

        An argument that is not given is as in the settings, see `from_config` and `from_store`; else as here.

        Parameters
        ----------
        compute_thumbnails
            True; if False, `second_loop_iteration` begins with reading. Images are read now all the same if there are
            hashes to compute, which are made of thumbnails.
        compute_hash
            False; or compute ``hash_0`` to ``hash_270`` of every image, those of its thumbnail in four rotations, and
            ``hash_key``, the smallest of them.
        amount
            4: bits by which values are shifted before they are hashed, −7 to 7, to the right if positive.
        cpu_proc
            Tasks that run at once, at most; by default as many as the workers have threads, and never more.
        hash_function
            Function to use instead of SHA-256, also without `compute_hash`. It gets a thumbnail, (h, w, 3) uint8,
            shifted and turned, and gives str, or bytes, which are recorded as hexadecimal digits. The workers must
            be able to import the modules that it uses.
        image_hashes
            Some of "average", "difference", "perceptual" and "wavelet": hashes of the ImageHash package, of the
            thumbnail as it is, for the columns ``average_hash`` and so on; also without `compute_hash`.

        Raises
        ------
        UsageError
            If a setting cannot be used, nothing was indexed yet, or a block does not fit into a worker's memory.
        FastDiffError
            If the hash function fails or gives something else. Finished blocks stay.
        """
        self.settings = settings = merge_arguments(
            self.settings,
            self._defaults,
            fl_compute_thumbnails=compute_thumbnails,
            fl_compute_hash=compute_hash,
            fl_shift_amount=amount,
            fl_cpu_proc=cpu_proc,
        )
        wanted = hash_settings(settings, hash_function, image_hashes)
        with self._stage("thumbnails"):
            if settings.fl_compute_thumbnails or wanted is not None:
                self._read(wanted, settings.fl_cpu_proc)

    def _read(self, wanted: HashSettings | None, most: int | None) -> None:
        """Read or copy the images that are left, and complete hashes, by so many tasks at once at most."""
        store = self.store
        unread = unread_blocks(store)
        if unread:
            self._start_decoders()
            self._origin.check_visible(self.client, store)
            store.forget_stale()
            with self._decoding(), self._bar("thumbnail", sum(unread.values()), "images") as advance:
                for images, _ in self._origin.read(store, self.client, unread, self.settings.reading, wanted, most):
                    self.images_read += 0 if self._origin.stores else images
                    advance(images)
            from ..stages.leading import make_leading

            make_leading(store, self.client, most)
        unhashed = [] if wanted is None else unhashed_blocks(store, wanted)
        if unhashed and wanted is not None:
            from ..stages.thumbnails import hash_blocks

            with self._bar("hash", len(unhashed), "blocks") as advance:
                for _ in hash_blocks(store, self.client, unhashed, wanted, most):
                    advance(1)
        left_out = 0 if self._origin.stores else leave_out_by_resolution(store, self.settings.index)
        if left_out and self.verbose is not False:
            show_line(f"{counted(left_out, 'image')} more left out by the resolution.")

    def compare(
        self,
        similarity_threshold: float | None = None,
        *,
        threshold: float | None = None,
        compare: str | Callable[[Any, Any], Any] | None = None,
        prepare: Callable[[Any], Any] | None = None,
        on: str | None = None,
        metric: str | None = None,
        rotations: bool | None = None,
        mirror: bool | None = None,
        only_matching_aspect: bool | None = None,
        match_aspect_by: float | None = None,
        only_matching_hash: bool | None = None,
        skip_matching_hash: bool | None = None,
        within_folder: bool | None = None,
        across_folders: bool | None = None,
        make_diff_plots: bool | None = None,
        diff_location: str | os.PathLike[str] | None = None,
        plot_limit: int | None = None,
        gpu_proc: int | None = None,
        cpu_proc: int | None = None,
        tile_side: int | None = None,
        sub_block: int | None = None,
    ) -> None:
        """Compare all images with all, as far as that is not done yet.

        An argument that is not given is as in the settings, see `from_config` and `from_store`; else the comparison is
        by MSE with rotations, of all pairs, without plots.

        Parameters
        ----------
        similarity_threshold, threshold
            Largest MSE, or other value, of a similar pair, inclusive; by default 200, for "ssim" 0.1 and for "hamming"
            6. A finished comparison answers every lower one. Both names mean the same. Of vectors, see `metric`.
        compare
            One of:

            - "mse".
            - "correlation": 1 − r over all pixels and channels, each less the mean of its channel: brightness and
              contrast do not count.
            - "ssim": 1 − SSIM, 0 for equal images.
            - "hamming" or "dhash", "phash", "ahash", "whash": different bits of perceptual hashes, of 64; "phash-16" is
              of 16 × 16 bits, and "phash-32" of 32 × 32.
            - "pdq": different bits of hashes as Meta's PDQ makes them, of 256.
            - A function of two chunks of thumbnails, (m, h, w, 3) and (n, h, w, 3) uint8, with (m, n) numbers as
              result, the smaller the more similar. It must not depend on the images that share a
              chunk, nor on the order of two images. It gets all pairs, of which MSE needs few. The workers must be
              able to import its modules.
        prepare
            Function of thumbnails, (n, h, w, 3) uint8, that gives features, (n, ...) numbers of any one shape and type.
            `compare` gets these instead of thumbnails. An attribute ``prepare`` of that function does the same. The
            features of an image must not depend on the other images. They are computed once an image, for each
            transform that counts from the thumbnail so turned, and are kept in the store until `prepare` changes. Some
            at a time are in memory: 256 thumbnails, the features of a block or 64 MB of either side.
        on
            Name of vectors that are compared in place of thumbnails, see `encode` and `add_vectors`. Images without a
            vector are in no pair.
        metric
            How vectors are compared, "cosine" by default. A pair is similar if

            - "cosine": the cosine of both is at least the threshold, 0.95 by default;
            - "inner": their inner product is at least the threshold;
            - "euclidean": their distance is at most the threshold;
            - "hamming": at most so many of their bits differ.

            The value of a pair is a distance, the smaller the more similar: 1 − cosine, or minus the inner product. It
            is exact for the stored vectors, and the same for every size of blocks and tiles.
        rotations, mirror
            Transforms of an image that count, see `CompareSettings`. A function is called for each of them, of either
            image.
        only_matching_aspect
            Compare only images of the same aspect ratio, up to a quarter turn with `rotations`: match_aspect_by=1.
        match_aspect_by
            0: compare only images of the same size. A number from 1: only those with aspect ratios within this factor.
            Up to a quarter turn with `rotations`. Sizes are those that a person sees, after the EXIF orientation.
        only_matching_hash
            Compare only images with equal hashes: ``hash_key``, without `rotations` ``hash_0``.
        skip_matching_hash
            Do not compare images with equal hashes, which are known duplicates. They are in clusters together and in
            `Result.hash_pairs`, whatever their MSE is, and not in the pairs.
        within_folder, across_folders
            Compare only images of one folder, or only those of two folders; sub-folders are folders of their own.
        make_diff_plots, diff_location, plot_limit
            Draw similar pairs, with their differences, into this folder, by default ``plots`` in the store. At most so
            many are drawn, by default 1,000, the most similar ones first. Needs Matplotlib
            (``pip install 'fastdiff_dask[plot]'``). See `plots.draw_plots`.
        gpu_proc
            Tasks at once on each GPU of the workers, one or two; 0 compares on processors. Needs CuPy there
            (``pip install 'fastdiff_dask[cuda12]'`` or ``[cuda13]``). GPUs compare by MSE; processors
            compare if there is a pair filter, by aspect ratio or hash. The result is the same, and either goes on
            where the other stopped.
        cpu_proc
            Tasks on processors that run at once, at most; by default as many as the workers have threads, and never
            more.
        tile_side, sub_block
            Sub-blocks along the side of a tile, and images in a sub-block; by default they fit the collection and the
            workers. The result does not depend on them.

        Raises
        ------
        UsageError
            If a setting cannot be used, or images were not read yet.
        FastDiffError
            If a function fails or gives no matrix of numbers. Finished tiles stay.
        """
        limit = one_threshold(threshold, similarity_threshold=similarity_threshold)
        with named_threshold(threshold):
            asked, measure = merge_comparison(
                self.settings,
                self._defaults,
                compare,
                prepare,
                similarity_threshold=limit,
                sl_vectors=on,
                sl_metric=metric,
                sl_rotations=rotations,
                sl_mirror=mirror,
                sl_matching_aspect=only_matching_aspect,
                sl_match_aspect_by=match_aspect_by,
                sl_matching_hash=only_matching_hash,
                sl_skip_matching_hash=skip_matching_hash,
                sl_within_folder=within_folder,
                sl_across_folders=across_folders,
                sl_make_diff_plots=make_diff_plots,
                sl_plot_output_dir=None if diff_location is None else os.fspath(diff_location),
                sl_plot_limit=plot_limit,
                sl_gpu_proc=gpu_proc,
                sl_cpu_proc=cpu_proc,
            )
        gpus = self._gpus(asked, measure)
        plots = self._plot_folder(asked.sl_plot_output_dir) if asked.sl_make_diff_plots else None
        if tile_side is not None or sub_block is not None:
            from ..runtime.memory import check_tiles

            check_tiles(tile_side, sub_block)
        self.settings = asked
        with self._stage("compare"):
            comparison = self._chosen_comparison(asked)
            done = sum(int((plan.counts[:, 0] >= 0).sum()) for plan in comparison.plans())
            if not is_finished(comparison):
                self._finish(comparison, measure, gpus, tile_side, sub_block)
        self._tiles_resumed, self._comparison, self._of_files = done, comparison, False
        self._threshold = asked.comparison.similarity_threshold
        if plots is not None:
            self._draw(plots)

    def _finish(
        self,
        comparison: Comparison,
        measure: Measure | None,
        gpus: dict[str, int],
        tile_side: int | None,
        sub_block: int | None,
    ) -> None:
        """Compare what a comparison has left."""
        from ..runtime.workers import check_visible
        from ..stages.compare import plan_comparison

        check_visible(self.client, self.store_url, [])
        sizes: dict[str, Any] = {"tile_side": tile_side, "sub_block": sub_block}
        sizes["feature_bytes"] = self._prepare(comparison, measure)
        plan_comparison(comparison, self.client, gpu_tasks=sum(gpus.values()), **sizes)
        self._compare_tiles(comparison, measure, gpus)

    def _gpus(self, asked: Settings, measure: Measure | None) -> dict[str, int]:
        """Tasks at once, by the address of each worker with a GPU; empty if processors compare."""
        if not asked.sl_gpu_proc:
            return {}
        if asked.sl_compare != "mse" or asked.sl_vectors:
            raise UsageError("a GPU compares by MSE alone; leave out gpu_proc=, or compare=")
        from ..runtime.workers import gpu_workers

        if self._client.find() is None:
            check_gpu()  # workers that are started here have what this process has
        with connected(self._client.find()):
            found = gpu_workers(self.client, asked.sl_gpu_proc)
        return {} if PairFilters.of(asked.comparison) else found

    def _chosen_comparison(self, asked: Settings) -> Comparison:
        """Read the images that were left for this stage, and find the comparison to go on with."""
        store = self.store
        if unread_blocks(store) and not asked.fl_compute_thumbnails:
            self._read(None, asked.fl_cpu_proc)
        check_read(store)
        if asked.sl_vectors:
            if self._origin.stores:
                self._copy_vectors(asked.sl_vectors, asked.sl_cpu_proc)
            check_encoded(store, asked.sl_vectors)
            self._tell_missing(asked.sl_vectors)
            kind = Vectors(store, asked.sl_vectors).kind()
            check_vectors(asked.sl_metric, "" if kind is None else kind.dtype)
        return choose_comparison(store, asked.comparison)

    def _tell_missing(self, name: str) -> None:
        """Tell how many images have no vector, and are in no pair."""
        missing = 0 if self.verbose is False else images_without_vectors(self.store, name)
        if missing:
            has = "1 image has" if missing == 1 else f"{missing:,} images have"
            show_line(f"{has} no vector {name!r}, so that nothing is compared with {'it' if missing == 1 else 'them'}.")

    def _copy_vectors(self, name: str, most: int | None) -> None:
        """Copy vectors from the two stores that are compared, as far as that is not done yet."""
        from ..stages.encodings.copied import copied_vectors, copy_blocks_of_vectors
        from ..stages.transfer import open_sources

        store, sources = self.store, open_sources(self._origin.stores)
        vectors = copied_vectors(store, sources, name)
        if vectors.copied() is not None and (missing := vectors.missing_blocks()):
            self._origin.check_visible(self.client, store)
            with self._bar("copy vectors", len(missing), "blocks") as advance:
                for _ in copy_blocks_of_vectors(store, self.client, vectors, sources, most):
                    advance(1)

    def _prepare(self, comparison: Comparison, measure: Measure | None) -> int:
        """Compute the features that are compared, as far as they are not stored; give their bytes for an image."""
        if measure is None or measure.prepare is None:
            return 0
        from ..stages.prepare import feature_bytes, prepare_blocks, unprepared_blocks

        store, settings = self.store, comparison.settings
        height, width, _ = store.thumbnail_settings.shape
        transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
        pending = unprepared_blocks(store, measure.features, transforms)
        if pending:
            with self._bar("prepare", len(pending), "blocks") as advance:
                for _ in prepare_blocks(store, self.client, measure, transforms, pending, self.settings.sl_cpu_proc):
                    advance(1)
        return feature_bytes(store, measure.features, transforms)

    def _compare_tiles(self, comparison: Comparison, measure: Measure | None, gpus: dict[str, int]) -> None:
        from ..stages.compare import compare_tiles

        failed: dict[str, str] = {}
        with self._bar("compare", pairs_left(comparison), "pairs") as advance:
            for tile in compare_tiles(comparison, self.client, measure, self.settings.sl_cpu_proc, gpus):
                advance(tile.pairs)
                failed.update([tile.without_gpu] if tile.without_gpu else [])
        for address, reason in failed.items():
            if self.verbose is not False:
                show_line(f"The GPU of {address} failed ({reason}); the others, or processors, went on.")

    def _plot_folder(self, folder: str | None) -> Path:
        from ..outputs.plots import check_plots

        return check_plots(plot_folder(folder, self.saved_url, self.roots))

    def _draw(self, folder: Path) -> None:
        from ..outputs.plots import draw_plots
        from ..runtime.workers import check_visible

        result, limit = self.result(), self.settings.sl_plot_limit
        with self._stage("plots"):
            store = self.store
            check_visible(self.client, store.url, [str(folder)])
            with self._bar("plots", min(limit, result.pair_count), "pairs") as advance:
                for drawn in draw_plots(store, self.client, result, folder, limit):
                    advance(drawn)

    def _compared(self) -> tuple[Comparison, float]:
        """The comparison that was run here, or a finished one of the store, and the threshold asked.

        That is the one that answers the settings; if they ask for nothing special, else the one that was shown last.
        """
        if self._comparison is not None and self._threshold is not None:
            return self._comparison, self._threshold
        asked = self.settings.comparison
        chosen = choose_comparison(self.store, asked)
        if chosen.is_begun() and is_finished(chosen):
            return chosen, asked.similarity_threshold
        if chosen.is_begun():
            raise UsageError("the comparison is not finished; call second_loop_iteration() first")
        if self._from_store or asked == Settings().comparison:  # nobody asked for another one
            with contextlib.suppress(UsageError):  # of several, none was shown
                stored = choose_stored(self.store)
                assert stored.comparison is not None  # `result` has looked for equal files
                return stored.comparison, stored.settings.similarity_threshold
        raise UsageError("nothing was compared yet; call second_loop_iteration() first")

    def find_identical(self) -> Result:
        """Find the files that are equal byte for byte, by size, pieces and SHA-256; no picture is decoded.

        It needs `index` alone, and finds files that are no pictures, or damaged, as well. What was read to the end is
        in the store: called again, it reads what is new. Files of 0 bytes count for nothing.

        Returns
        -------
        The result; all its pairs have the verdict "same file".

        Raises
        ------
        UsageError
            If nothing was indexed yet, or files are behind addresses.
        """
        from ..stages.identical import hash_files, unhashed_files

        if self._origin.stores:
            raise UsageError("equal files are looked for in folders; name these, and not two stores")
        with self._stage("identical"):
            store = self.store
            with self._bar("identical", None, "files") as advance:
                left = unhashed_files(store, advance)
            if len(left):
                with self._bar("identical", len(left), "files") as advance:
                    for number in hash_files(store, left, advance):
                        advance(number)
        self._of_files = True
        self._files_found = self.result()
        return self._files_found

    def _shows_files(self) -> bool:
        """Tell whether the result is that of equal files: found here, or shown last where nothing else is asked for."""
        if self._of_files is not None or self._comparison is not None:
            return bool(self._of_files)
        shown = self.store.records.read_shown()
        nothing_else = self._from_store or self.settings.comparison == Settings().comparison
        return shown is not None and shown.settings.of_files and nothing_else

    def verify(self, *, limit: int | None = None, size: int | None = None, cpu_proc: int | None = None) -> int:
        """Look at the similar pairs that decide something once more, at both files, as far as that is not done yet.

        These are the pairs with the image to keep of each cluster, and the most similar ones that connect its images.
        Where the files show different pictures, clusters are parted, and each part is looked at in the same way.

        An argument that is not given is as in the settings.

        Parameters
        ----------
        limit
            Pairs to look at in this call, at most, the most similar ones first; 100,000 by default.
        size
            Pixels of the longer side of a picture, at most; 512 by default.
        cpu_proc
            Tasks that run at once, at most.

        Returns
        -------
        Pairs that were looked at.

        Raises
        ------
        UsageError
            If nothing was compared yet, or an argument cannot be used.
        """
        self.settings = settings = merge_arguments(
            self.settings, self._defaults, verify_limit=limit, verify_size=size, sl_cpu_proc=cpu_proc
        )
        comparison, threshold = self._compared()
        if self._origin.stores:  # their pictures need not be there
            return 0
        result, done = self._collect(comparison, threshold), 0
        with self._stage("verify"):
            while left := settings.verify_limit - done:
                pairs = pairs_to_look_at(result.parting.pairs, result.verdicts, settings.verify_size)[:left]
                known = len(result.verdicts.verdicts)
                if not len(pairs):
                    break
                self._look(pairs)
                done += len(pairs)
                result = result.with_verdicts(read_verdicts(self.store))
                if len(result.verdicts.verdicts) == known:
                    break  # no file is as it was compared
        if self._is_writing:  # nobody else writes until `result` takes it
            self._verified = (comparison.name, threshold), result
        return done

    def _look(self, pairs: NDArray[np.int64]) -> None:
        from ..stages.verify import verify_pairs

        store, settings = self.store, self.settings
        self._origin.check_visible(self.client, store)
        with self._decoding(), self._bar("verify", len(pairs), "pairs") as advance:
            for some in verify_pairs(
                store, self.client, pairs, settings.verify_size, settings.reading, settings.sl_cpu_proc
            ):
                advance(some)

    def find_edited(
        self, *, limit: int | None = None, size: int = EDITED_SIZE, cpu_proc: int | None = None
    ) -> dict[str, int]:
        """Look for edited copies: crops, borders, mirror images, other colours, captions, small turns.

        Views of each image are compared with all others, whatever their MSE is; those that correlate are aligned, and
        both files of those that fit are looked at. All of it is done once, and later only for images that are new.

        An argument that is not given is as in the settings.

        Parameters
        ----------
        limit
            Pairs whose files are looked at in this call, at most, those that fit best first; 100,000 by default.
        size
            Pixels of the longer side of a picture, at most. More finds no more copies, and takes longer.
        cpu_proc
            Tasks that run at once, at most.

        Returns
        -------
        How many there were of each step, see `stages.edited`; and "left out", the pairs that the limit left for the
        next call.

        Raises
        ------
        UsageError
            If the images were not read yet, the memory of a worker is too small, or an argument cannot be used.
        """
        self.settings = settings = merge_arguments(
            self.settings, self._defaults, verify_limit=limit, sl_cpu_proc=cpu_proc
        )
        from ..runtime.memory import check_edited_memory
        from ..runtime.workers import capacity
        from ..stages.edited import edited_stages  # and SciPy, which takes as long as a small job

        check_whole("size", size, lowest=16)
        if self._origin.stores:  # their pictures need not be there
            raise UsageError("edited copies are looked for in pictures, and two stores have none; use find")
        store = self.store
        done: dict[str, int] = {}
        check_read(store)
        with self._stage("edited"), self._decoding():
            self._origin.check_visible(self.client, store)
            check_edited_memory(capacity(self.client).bytes_per_task)
            for step in edited_stages(
                store, self.client, size, settings.reading, settings.sl_cpu_proc, settings.verify_limit
            ):
                done[step.name] = done.get(step.name, 0) + step.total
                done["left out"] = step.left_out
                if step.total:
                    with self._bar(step.name, step.total, step.unit) as advance:
                        for some in step.run():
                            advance(some)
        return done

    def result(self, similarity: float | None = None, *, threshold: float | None = None) -> Result:
        """Pairs, clusters, errors and figures of the comparison that was run here.

        Without one, of the finished comparison in the store that answers the settings, or of the one that was shown
        last.

        The store records that this result was shown: the commands ``apply``, ``report`` and ``export`` take it.

        Parameters
        ----------
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.

        Returns
        -------
        The result.

        Raises
        ------
        UsageError
            If nothing was compared yet, or not up to this MSE.
        """
        asked = one_threshold(threshold, similarity=similarity)
        if self._is_writing and self._files_found is not None:  # nobody else has written since
            return self._files_found
        if self._shows_files():
            return self._shown(collect_same_files(self.store, self.roots, {"seconds": self.seconds}))
        comparison, highest = self._compared()
        compared = comparison.settings
        wanted = highest
        if asked is not None:
            measure = "" if compared.vectors else compared.measure
            number = check_threshold("similarity" if threshold is None else "threshold", asked, measure)
            wanted = with_threshold(compared, number).similarity_threshold
        if wanted > compared.similarity_threshold:
            what = "a difference (MSE)" if compared.measure == "mse" else "a value"
            limits = (compared, replace(compared, similarity_threshold=wanted))
            has, lacks = (PairValue(one, self.store.thumbnail_settings).threshold for one in limits)
            raise UsageError(
                f"images were compared up to {what} of {has}, not {lacks}; "
                f"call second_loop_iteration(similarity_threshold={lacks}) first"
            )
        start = time.monotonic()
        (known, verified), self._verified = self._verified or (None, None), None
        result = verified if known == (comparison.name, wanted) else None
        result = result or self._collect(comparison, wanted)
        self.seconds["results"] = round(time.monotonic() - start, 3)
        return self._shown(result)

    def _shown(self, result: Result) -> Result:
        """Record that a result is shown now."""
        for url in dict.fromkeys((self.store_url, self.saved_url)):  # a store in memory, and its copy
            remember_shown(url, result)
        return result if self.settings.like is None else self._like(result, self.settings.like)

    def _like(self, result: Result, path: str) -> Result:
        """Choose the copies of a file, which must be one of the images."""
        place = os.path.realpath(path)
        images = self.store.read_images([*FILE_NAME, "current"])
        images = images[images.current]
        if not any(full_path(row.root, row.path, row.path_bytes) == place for row in images.itertuples()):
            raise UsageError(
                f"like= names {printable(path)}, which is none of the images that were found; name another"
            )
        return result.like(path)

    def _collect(self, comparison: Comparison, threshold: float) -> Result:
        stats = {
            "images_read": self.images_read,
            "tiles": sum(len(plan.tiles) for plan in comparison.plans()),
            "tiles_resumed": self._tiles_resumed,
            "seconds": self.seconds,
        }
        return collect_result(self.store, self.roots, comparison, threshold, stats)
