"""`FastDifPy`: a project under the names of fast_diff_py."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from ..config import DEFAULT_BLOCK_SIZE, PIXEL_LIMIT, TIME_LIMIT
from ..errors import FastDiffError, UsageError
from ..project.arguments import Directories, name_of, one_threshold, split_arguments
from ..project.locations import checked_store
from ..project.options import ClientOptions, Settings
from ..project.project import Project
from ..project.saved_settings import read_settings, recorded_settings
from ..results.clusters import Cluster, Clusters, low_quality_of
from ..stages.estimate import thumbnail_bytes
from ..storage.store import Store
from ..text import one_line, printable, titled
from .run_state import RunState, show_state

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

__all__ = ["FastDifPy"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _under_the_name(name: str, method: _Method) -> _Method:
    """Give a method another name, which Python's messages about wrong arguments have."""
    assert isinstance(method, FunctionType)
    copied = FunctionType(method.__code__, method.__globals__, name, method.__defaults__, method.__closure__)
    copied.__kwdefaults__, copied.__doc__ = method.__kwdefaults__, method.__doc__
    copied.__annotations__, copied.__module__ = method.__annotations__, __name__
    copied.__qualname__ = f"FastDifPy.{name}"
    return cast(_Method, copied)


class FastDifPy(Project):
    """Find the duplicates of one collection, or of one against another, stage by stage.

    Finished work is in the store: a stage that is called again, in this process or another, does the rest only. The
    object is a context manager, which ends the client that was started here.

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
        Images in a block. Settings that do not fit into the workers' memory are refused before anything is computed.
        Memory:

        - For each thread four blocks of thumbnails, 4 · block_size · width · height · 3 bytes; 50 MB by default.
        - For each thread, while reading, a process of 50 MB with a file, its decoded picture and a copy; while
          comparing, `memory.compare_task_bytes`.
        - About 1 kB an image while indexing, and about 1 kB an image in the results.
    exact_decode
        Decode JPEG pictures at full scale and resize by the plain bicubic filter: slower, see `decode.read_opened`.
    time_limit, pixel_limit
        Seconds that reading a file may take (0: any), and pixels that a picture may have. A file beyond a limit is
        listed as an error. A later run with a higher limit reads it again.
    recursive, extensions, ignore_names, ignore_paths, frames_every
        Rules for the files that are images, see `IndexSettings`.
    min_size, max_size, min_pixels, max_pixels, min_width, min_height
        Rules for the files that are images, see `IndexSettings`.
    performance_report
        File for Dask's performance report of what is computed, written when this is closed, also after a failure.
    in_memory, update_timeout
        Hold the store in the memory of this process, and save it to `store` every so many seconds and after each stage.
        A later run begins with the saved store. Memory: 14 kB an image, and the pairs. Not with workers in other
        processes.
    cfg_path, retain_config
        TOML file for the settings of this run; True writes it when a stage begins. See `from_config`.
    verbose
        Show progress bars, by default on a terminal and in notebooks only; False keeps the dashboard's address quiet.

    Attributes
    ----------
    settings
        The options, see `options.Settings`.
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
        frames_every: float = 0.0,
        min_size: int | str | None = None,
        max_size: int | str | None = None,
        min_pixels: int | str | None = None,
        max_pixels: int | str | None = None,
        min_width: int | None = None,
        min_height: int | None = None,
        performance_report: str | os.PathLike[str] | None = None,
        in_memory: bool = False,
        update_timeout: float = 30.0,
        cfg_path: str | os.PathLike[str] | None = None,
        retain_config: bool = False,
        verbose: bool | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(*split_arguments(given))

    @classmethod
    def _of(cls, settings: Settings, client: ClientOptions, sources: dict[str, str] | None = None) -> Self:
        db = cls.__new__(cls)
        Project.__init__(db, settings, client, sources)
        return db

    @classmethod
    def init_new(
        cls,
        directory_a: Directories,
        directory_b: Directories | None = None,
        progress: bool = True,
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
        frames_every: float = 0.0,
        min_size: int | str | None = None,
        max_size: int | str | None = None,
        min_pixels: int | str | None = None,
        max_pixels: int | str | None = None,
        min_width: int | None = None,
        min_height: int | None = None,
        performance_report: str | os.PathLike[str] | None = None,
        in_memory: bool = False,
        update_timeout: float = 30.0,
        cfg_path: str | os.PathLike[str] | None = None,
        retain_config: bool = False,
        verbose: bool | None = None,
    ) -> Self:
        """Make a project: the class itself, under fast_diff_py's name for that.

        Parameters
        ----------
        directory_a, directory_b
            As for the class.
        progress
            False shows no progress bars, if `verbose` is not given.
        store, client, workers, threads, dashboard_address
            As for the class.
        thumbnail_size_x, thumbnail_size_y, block_size, exact_decode
            As for the class.
        time_limit, pixel_limit, recursive, extensions, ignore_names, ignore_paths, frames_every
            As for the class.
        min_size, max_size, min_pixels, max_pixels, min_width, min_height
            As for the class.
        performance_report, in_memory, update_timeout, cfg_path, retain_config, verbose
            As for the class.

        Returns
        -------
        The project.
        """
        given = {name: value for name, value in locals().items() if name not in ("cls", "progress")}
        if verbose is None and not progress:
            given["verbose"] = False
        return cls(**given)

    @classmethod
    def init_preexisting_config(
        cls,
        config_path: str | os.PathLike[str],
        *,
        client: "Client | None" = None,
        workers: int | None = None,
        threads: int | None = None,
        dashboard_address: str | None = None,
        performance_report: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a project of the settings in a file: `from_config`, under fast_diff_py's name for that."""
        return cls.from_config(
            config_path,
            client=client,
            workers=workers,
            threads=threads,
            dashboard_address=dashboard_address,
            performance_report=performance_report,
        )

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str],
        *,
        client: "Client | None" = None,
        workers: int | None = None,
        threads: int | None = None,
        dashboard_address: str | None = None,
        performance_report: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a project of the settings in a TOML file. Stages take them where they are given nothing else.

        Parameters
        ----------
        path
            The file: names and values of `options.Settings`; folders and files are relative to its folder.
        client, workers, threads, dashboard_address, performance_report
            As for the class. All other options are in the file.

        Returns
        -------
        The project.

        Raises
        ------
        UsageError
            If the file cannot be read, or has an unknown setting or a value that cannot be used.

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
        return cls.from_settings(
            read_settings(name_of("path", path)),
            client=client,
            workers=workers,
            threads=threads,
            dashboard_address=dashboard_address,
            performance_report=performance_report,
        )

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
        """Make a project of settings. Stages take them where they are given nothing else.

        Parameters
        ----------
        settings
            All options, see `options.Settings`.
        client, workers, threads, dashboard_address, performance_report
            As for the class.

        Returns
        -------
        The project.

        Raises
        ------
        UsageError
            If a folder or an option cannot be used.
        """
        return cls._of(
            settings,
            ClientOptions(
                client=client,
                workers=workers,
                threads=threads,
                dashboard_address=dashboard_address,
                performance_report=performance_report,
            ),
        )

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
        """Go on with a store where a run left it, killed or not: every stage does the rest.

        The settings are those of the last run, for the stages too where they are given nothing else. Places to write
        to, for plots and for a settings file, are not taken from the store, which may be someone else's.

        Parameters
        ----------
        store
            Folder or fsspec URL of the store.
        client, workers, threads, dashboard_address, performance_report, in_memory, verbose
            As for the class.

        Returns
        -------
        The project.

        Raises
        ------
        UsageError
            If there is no store, or one of its folders is gone.

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
        url = checked_store(name_of("store", store))
        settings, sources = recorded_settings(Store(url))
        settings = replace(settings, store=url, verbose=verbose, in_memory=in_memory)
        db = cls._of(
            settings,
            ClientOptions(
                client=client,
                workers=workers,
                threads=threads,
                dashboard_address=dashboard_address,
                performance_report=performance_report,
            ),
            sources,
        )
        db._from_store = True
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

        The stages are those of any collection against another:

        - `index_the_dirs` lists the current images of the two stores, which are only read.
        - `first_loop_iteration` copies their thumbnails. Later runs copy and compare new images only.
        - Images have their paths of these stores. Where paths of two machines are equal, the side tells them apart.

        Parameters
        ----------
        store_a, store_b
            Folders or fsspec URLs of the two stores. All their images were read, with the same thumbnail settings.
        store
            Folder or fsspec URL for the work; by default a folder in the user's cache that belongs to these two.
        client, workers, threads, dashboard_address, block_size, performance_report, verbose
            As for the class.

        Returns
        -------
        The project.

        Raises
        ------
        UsageError
            If an address is none of a store, or the thumbnails cannot be compared.

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
        settings = Settings(
            block_size=block_size, store=None if store is None else name_of("store", store), verbose=verbose
        )
        sources = {"a": name_of("store_a", store_a), "b": name_of("store_b", store_b)}
        return cls._of(
            settings,
            ClientOptions(
                client=client,
                workers=workers,
                threads=threads,
                dashboard_address=dashboard_address,
                performance_report=performance_report,
            ),
            sources,
        )

    @property
    def config(self) -> RunState:
        """The settings, and how far the job is; under the names of fast_diff_py's configuration, see `RunState`."""
        return RunState(self.settings, self._session.newest_url)

    # -- stages ------------------------------------------------------------------------------------------------------

    index_the_dirs = _under_the_name("index_the_dirs", Project.index)
    first_loop_iteration = _under_the_name("first_loop_iteration", Project.make_thumbnails)
    second_loop_iteration = _under_the_name("second_loop_iteration", Project.compare)

    def estimate_disk_usage(self, print_results: bool = True) -> tuple[int, int]:
        """Bytes that the thumbnails of side a and of side b take in the store, before compression."""
        return thumbnail_bytes(self.store, self.roots, self.settings.thumbnails, print_results=print_results)

    def find_pairs(
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
    ) -> "pd.DataFrame":
        """Compare all images with all and give the similar pairs: `second_loop_iteration`, and then `pairs`."""
        given = {name: value for name, value in locals().items() if name != "self"}
        self.second_loop_iteration(**given)
        return self.pairs

    def get_duplicates(
        self, similarity: float | None = None, *, threshold: float | None = None, dif_based: bool = True
    ) -> tuple[list[Cluster], list[str]]:
        """Clusters of similar images with the one to keep, and the paths of all others.

        Parameters
        ----------
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        dif_based
            False needs no comparison: a cluster is then the images of one ``hash_key``; of two sides, only if both have
            images in it. Time grows with the number of images, see `hash_clusters.collect_hash_clusters`.

        Returns
        -------
        The clusters, and the paths of all images that are not the one to keep.

        Raises
        ------
        UsageError
            If nothing was compared yet, or not up to this MSE; without a comparison, if there are images without
            hashes.
        """
        if not dif_based:
            if one_threshold(threshold, similarity=similarity) is not None:
                raise UsageError("hashes are equal or not; leave out similarity, or dif_based=False")
            from ..results.hash_clusters import collect_hash_clusters

            clusters = Clusters(collect_hash_clusters(self.store, self.client, self.roots))
            return clusters, low_quality_of(clusters)
        result = self.result(similarity, threshold=threshold)
        return result.clusters, result.low_quality

    def print_preprocessing_errors(self) -> None:
        """Print the files that could not be compared, and why."""
        for row in self.errors.itertuples():
            print(f"{printable(row.path)}: {printable(row.error)}")

    def print_compare_errors(self) -> None:
        """Print the pairs that could not be compared: none, as what has a thumbnail can be compared with all others.

        A function of your own that fails ends `second_loop_iteration`.
        """
        print("0 pairs could not be compared")

    def __repr__(self) -> str:
        try:
            lines = self.config.described()
        except FastDiffError as error:  # a damaged store: a line all the same
            lines = [one_line(error)]
        return titled(type(self).__name__, lines)

    def _repr_html_(self) -> str:
        """Stages, progress and settings, for notebooks."""
        return show_state(self.config, self.saved_url)
