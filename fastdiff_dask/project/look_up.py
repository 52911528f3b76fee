"""Questions to a project: pictures that are looked up, and the nearest images of each image."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config import check_threshold, check_whole
from ..errors import UsageError
from ..stages.listing.roots import Root
from ..storage.derived.vectors import Vectors
from ..storage.pending import check_encoded, check_read
from ..storage.store import Store
from ..vectors.metrics import check_vectors
from .encodings import EncodedProject
from .options import Settings
from .saved_settings import recorded_settings

if TYPE_CHECKING:
    import dask.dataframe as dd

    from ..lookup.archive import Archive
    from ..lookup.found import Lookup

__all__ = ["AskedProject", "open_archive", "pictures_of"]


def open_archive(url: str, k: int | None, threshold: float | None) -> "Archive":
    """Open a store for lookups, by the settings of its last run.

    Parameters
    ----------
    url
        Address of the store.
    k, threshold
        As for `Project.lookup`.

    Returns
    -------
    The archive.
    """
    settings, _ = recorded_settings(Store(url))
    return _archive(url, settings, (), k, threshold)


def _archive(url: str, settings: Settings, roots: Sequence[Root], k: int | None, threshold: float | None) -> "Archive":
    from ..lookup.archive import Archive, ArchiveSettings

    given: dict[str, Any] = {}
    if k is not None:
        check_whole("k", k, 1, 10_000)
        given["k"] = k
    if threshold is not None:
        given["threshold"] = check_threshold("threshold", threshold)
    rules = ArchiveSettings(
        rotations=settings.sl_rotations,
        mirror=settings.sl_mirror,
        size=settings.verify_size,
        reading=settings.reading,
        **given,
    )
    return Archive(url, rules, {(root.side, root.absolute): root.given for root in roots})


def pictures_of(pictures: Any) -> list[Any]:
    """Give one picture, or several, as a list: paths, and arrays (h, w, 3) uint8.

    Raises
    ------
    UsageError
        If something else is among them.
    """
    single = isinstance(pictures, str | bytes | os.PathLike) or (hasattr(pictures, "ndim") and pictures.ndim < 4)
    if not single and not isinstance(pictures, Sequence) and not hasattr(pictures, "ndim"):
        single = hasattr(pictures, "__array__") or not hasattr(pictures, "__iter__")
    found = [pictures] if single else list(pictures)
    for one in found:
        if not isinstance(one, str | bytes | os.PathLike) and not hasattr(one, "__array__"):
            raise UsageError(f"pictures={one!r} is no picture; use a path, an array (h, w, 3) uint8, or a list of them")
    return found


class AskedProject(EncodedProject):
    """A project that answers questions about single images; see `Job`."""

    def lookup(self, pictures: Any, k: int | None = None, *, threshold: float | None = None) -> "Lookup":
        """Tell of each picture whether the archive has it already, and which images are most like it.

        Nothing is compared but these pictures with the images that were read; their files need not be compared yet.

        Parameters
        ----------
        pictures
            A path, an array (h, w, 3) uint8, or several of them.
        k
            Images to give for a picture, at most; 10 by default.
        threshold
            Largest MSE of an image that is given; 200 by default.

        Returns
        -------
        An answer for each picture, which a notebook shows; ``frame`` is a table of all.

        Raises
        ------
        UsageError
            If nothing was indexed yet, or an argument cannot be used. A file that cannot be read is an answer.
        """
        from ..images.decoder_pool import close_readers
        from ..lookup.found import Lookup

        self._session.open()  # says what to do first
        several = pictures_of(pictures)
        try:
            archive = _archive(self._session.newest_url, self.settings, self.roots, k, threshold)
            return Lookup(list(archive.look_up(several)))
        finally:
            close_readers()

    def neighbours(
        self, k: int = 10, on: str | None = None, *, metric: str | None = None, cpu_proc: int | None = None
    ) -> "dd.DataFrame":
        """Find the k nearest images of each image, by MSE or by vectors, exactly: however far they are.

        A task finds those of a block of images, and commits them. Called again, it computes what is left, and nothing
        if no image was added or has vanished. Of A against B, the neighbours of an image of A are in B.

        Parameters
        ----------
        k
            Images to find for each.
        on, metric
            Name of the vectors that are compared in place of thumbnails, see `encode`, and their metric: "cosine" (by
            default), "inner", "euclidean" or "hamming".
        cpu_proc
            Tasks that run at once, at most; by default as many as the workers have threads.

        Returns
        -------
        A Dask DataFrame, a row a neighbour: a, b (paths), rank (from 1), mse, rotation, mirrored (by which a is turned
        to be like b), image_a, image_b (numbers, as `images` has them). For vectors, value in place of mse and turns: a
        distance, for "cosine" 1 less the cosine, for "inner" minus the product. Of equally near ones, that of the lower
        number comes first. An image is not its own neighbour. Images that could not be read, or have no vector, are
        left out.

        Raises
        ------
        UsageError
            If images were not read yet, or have no vectors of this name; or an argument cannot be used.
        """
        from ..results.dask_frames.neighbours import neighbours_frame
        from ..runtime.workers import check_visible
        from ..stages.neighbours import find_neighbours
        from ..storage.derived.neighbour_files import NeighbourFiles, NeighbourSettings, images_with_neighbours

        check_whole("k", k, 1, 10_000)
        store = self.store
        check_read(store)
        settings = NeighbourSettings(k, self.settings.sl_rotations, self.settings.sl_mirror)
        if on:
            check_encoded(store, on)
            kind = Vectors(store, on).kind()
            settings = NeighbourSettings(k, rotations=False, vectors=on, metric=metric or "cosine")
            check_vectors(settings.metric, kind.dtype if kind is not None else "uint8")
        elif metric is not None:
            raise UsageError("metric= is for vectors; name them by on=")
        images = images_with_neighbours(store, settings)
        files = NeighbourFiles(store, settings, NeighbourFiles.digest_of(images, settings.identity(store)))
        if not files.is_finished():
            with self._stage("neighbours"), self._bar("neighbours", len(images["a"]), "images") as advance:
                check_visible(self.client, store.url, [])
                for some in find_neighbours(files, self.client, cpu_proc):
                    advance(some)
        return neighbours_frame(NeighbourFiles(self.store, settings, files.digest), self.roots)
