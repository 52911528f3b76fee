"""A project with vectors of its images: made by a function or a model, or added as arrays."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UsageError
from ..outputs.progress_bar import show_line
from ..storage.derived.neighbour_files import remove_neighbours
from ..storage.derived.vectors import Vectors, remove_vectors, vector_names
from ..storage.pending import check_encoded, check_read
from ..text import counted
from .job import Job

if TYPE_CHECKING:
    import dask.array as da

    from ..stages.encodings.added import Added

__all__ = ["EncodedProject", "EncodingCounts"]


class EncodingCounts(NamedTuple):
    """Outcome of a call of `EncodedProject.encode`.

    Attributes
    ----------
    encoded
        Images that got a vector.
    failed
        Images that have none, since their pictures could not be read, or their vectors are not finite.
    failure
        Why, of one of them; empty if there is none.
    """

    encoded: int
    failed: int
    failure: str

    @property
    def described(self) -> str:
        """The outcome in one line."""
        text = f"{counted(self.encoded, 'image')} encoded"
        return f"{text}; {counted(self.failed, 'image')} without a vector ({self.failure})" if self.failed else text


class EncodedProject(Job):
    """A job, and the vectors of its images; see `Job`."""

    def encode(
        self,
        function: Callable[[Any], Any],
        name: str,
        *,
        batch_size: int = 64,
        dtype: str = "float32",
        size: tuple[int, int] | int | None = None,
        per_file: bool = False,
        cpu_proc: int | None = None,
    ) -> EncodingCounts:
        """Make a vector of each image that has none yet, by workers, and keep them in the store under a name.

        A task makes the vectors of a block, and commits them. A later call goes on where one stopped, and makes those
        of new images only. A picture that cannot be read, and a vector that is not finite, cost one image.

        Parameters
        ----------
        function
            Function of images (n, h, w, 3) uint8 that gives vectors (n, d), numbers; or what `onnx_encoder` gives. The
            vector of an image must not depend on the others. Workers must be able to import the modules that it uses.
        name
            Name of the vectors: letters, digits, dots, hyphens.
        batch_size
            Images that the function gets at once, at most.
        dtype
            Type to store: "float16", "float32", "float64", "uint8", "int8".
        size
            Height and width of the pictures that the function gets: files are read again, turned upright, and resized
            as a whole. By default that of a model, else the stored thumbnails are used.
        per_file
            The function gets the path of a file, and gives its vector (d,). What it raises costs that image.
        cpu_proc
            Tasks that run at once, at most; by default as many as the workers have threads.

        Returns
        -------
        Numbers of images.

        Raises
        ------
        StoreMismatchError
            If there are vectors of this name by another function, size or type.
        UsageError
            If an argument cannot be used, or images were not read yet.
        FastDiffError
            If the function fails, or gives vectors of another length than before. Finished blocks stay.
        """
        from ..runtime.workers import check_visible
        from ..stages.encodings.encode import encode_blocks
        from ..vectors.encoders import make_encoder

        encoder = make_encoder(function, batch_size=batch_size, dtype=dtype, size=size, per_file=per_file)
        store = self.store
        check_read(store)
        vectors = Vectors(store, name)
        reads_files = per_file or encoder.size is not None
        if reads_files and self._origin.stores:
            raise UsageError("two stores have no pictures to encode; encode their thumbnails, or add vectors")
        encoded, failed, failure = 0, 0, ""
        with self._stage("encode"), self._decoding():
            if reads_files:
                self._origin.check_visible(self.client, store)
            else:
                check_visible(self.client, store.url, [])
            rows = store.rows()
            left = sum(rows[block] for block in vectors.missing_blocks())
            with self._bar("encode", left, "images") as advance:
                for step, one in encode_blocks(store, self.client, vectors, encoder, self.settings.reading, cpu_proc):
                    if one is not None:
                        encoded, failed = encoded + one.there, failed + one.images - one.there
                        failure = failure or one.failure
                    advance(step)
        counts = EncodingCounts(encoded, failed, failure)
        if failed and self.verbose is not False:
            show_line(f"Vectors {name}: {counts.described}.")
        return counts

    def add_vectors(
        self,
        name: str,
        vectors: Any,
        *,
        keys: Sequence[Any] | None = None,
        key: str = "path",
        column: str | None = None,
        dtype: str | None = None,
    ) -> "Added":
        """Keep vectors that exist in the store under a name, by the paths or numbers of their images.

        Images without a vector are in no pair. Later calls add those of more images. Nothing is unpickled.

        Parameters
        ----------
        name
            Name of the vectors: letters, digits, dots, hyphens.
        vectors
            One of:

            - An array (n, d) of numbers, in the order of `images` unless `keys` are given; or (n,) hashes, as uint64.
            - The path of an ``.npy`` file with such an array, or of an ``.npz`` file with it and perhaps the keys.
            - The path of a Parquet file with a column of keys, and a column of lists, or columns of numbers.
        keys
            Paths or numbers of the images of an array. A path is absolute, or as `Result.pairs` has it, or below one
            of the folders; a number is one of the index of `images`.
        key
            Name of the column, or of the array in an ``.npz`` file, that has the keys.
        column
            Name of the column of lists, if a Parquet file has several.
        dtype
            Type to store, by default that which they have. Boolean values, and unsigned integers of 16 to 64 bits, are
            stored as bits, for ``metric="hamming"``.

        Returns
        -------
        Numbers of images with and without a vector, and of keys without an image.

        Raises
        ------
        UsageError
            If nothing fits, a key is there twice, or vectors differ from those that are there.
        """
        from ..stages.encodings.added import add_table
        from ..stages.encodings.tables import open_table

        store = self.store
        check_read(store)
        found = Vectors(store, name)
        table = open_table(vectors, keys, key, column)
        with self._stage("encode"), self._bar("add vectors", store.blocks, "blocks") as advance:
            added = add_table(store, self.roots, found, table, dtype, advance)
        if (added.unknown or added.unusable) and self.verbose is not False:
            show_line(f"Vectors {name}: {added.described}.")
        return added

    def remove_vectors(self, name: str) -> None:
        """Remove vectors from the store, with the comparisons and neighbours that were made of them; no picture.

        Parameters
        ----------
        name
            Their name, which is free again.

        Raises
        ------
        UsageError
            If there are none of this name.
        """
        self._verified = None
        with self.writing():
            self._session.open()
            remove_neighbours(self.store, name)
            remove_vectors(self.store, name)
            if self._comparison is not None and self._comparison.settings.vectors == name:
                self._comparison = None
            self._session.save()

    def vectors(self, name: str) -> "da.Array":
        """Give vectors as a Dask array (n, d), a chunk a block, in the order of `images`.

        Parameters
        ----------
        name
            Their name.

        Returns
        -------
        The array, of the stored type. Images without a vector have NaN, or 0 if the vectors are of integers.

        Raises
        ------
        UsageError
            If there are no vectors of this name, or not of all images.
        """
        from ..results.dask_collections import vectors_array

        store = self.store
        check_encoded(store, name)
        return vectors_array(store, name)

    @property
    def vector_names(self) -> list[str]:
        """Names of the vectors in the store, sorted."""
        return vector_names(self.store)
