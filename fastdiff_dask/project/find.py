"""All stages in one call."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config import (
    DEFAULT_BLOCK_SIZE,
    PIXEL_LIMIT,
    TIME_LIMIT,
    CompareSettings,
    aspect_factor,
    default_threshold,
    threshold_of,
)
from ..errors import UsageError
from ..results.result import Result
from .arguments import Directories, named_threshold, one_threshold, split_arguments
from .project import Project

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["find_duplicates"]

# Arguments of stages; all others are those of a project.
_STAGES = (
    *(
        "similarity_threshold",
        "threshold",
        "similarity",
        "rotations",
        "mirror",
        "only_matching_aspect",
        "match_aspect_by",
    ),
    *("only_matching_hash", "skip_matching_hash", "within_folder", "across_folders"),
    *("verify", "edited", "on", "metric"),
)


def find_duplicates(
    directory_a: Directories,
    directory_b: Directories | None = None,
    *,
    similarity_threshold: float | None = None,
    threshold: float | None = None,
    similarity: str | None = None,
    rotations: bool = True,
    mirror: bool = False,
    only_matching_aspect: bool = False,
    match_aspect_by: float | None = None,
    only_matching_hash: bool = False,
    skip_matching_hash: bool = False,
    within_folder: bool = False,
    across_folders: bool = False,
    verify: bool = False,
    edited: bool = False,
    on: str = "",
    metric: str = "cosine",
    identical: bool = False,
    like: str | os.PathLike[str] | None = None,
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
) -> Result:
    """Find the duplicates of a collection, or of one against another: all stages, as far as they are not done yet.

    Parameters
    ----------
    directory_a, directory_b
        Folder or folders to search; folders or files to compare them with.
    similarity_threshold, threshold
        Largest MSE of a similar pair, 200 by default; both names mean the same.
    similarity
        The threshold as a word: "identical", "strict", "normal" or "loose".
    rotations, mirror
        Rules for a similar pair, see `CompareSettings`.
    only_matching_aspect, match_aspect_by, only_matching_hash, skip_matching_hash, within_folder, across_folders
        Rules for the pairs that are compared, see `FastDifPy.second_loop_iteration`; hashes are computed if needed.
    verify
        Look at similar pairs once more, see `Project.verify`.
    edited
        Look for edited copies as well, see `Project.find_edited`.
    on, metric
        Name of vectors to compare in place of thumbnails, and how, see `FastDifPy.second_loop_iteration`; `encode` or
        `add_vectors` of a project with the same store has made them.
    identical
        Look for files that are equal byte for byte, and for nothing else, see `Project.find_identical`.
    like
        Give only the copies of this file. If it lies in none of the folders, these are compared with it alone.
    store, client, workers, threads, dashboard_address
        As for `FastDifPy`.
    thumbnail_size_x, thumbnail_size_y, block_size, exact_decode
        As for `FastDifPy`.
    time_limit, pixel_limit, recursive, extensions, ignore_names, ignore_paths, frames_every
        As for `FastDifPy`.
    min_size, max_size, min_pixels, max_pixels, min_width, min_height
        As for `FastDifPy`.
    performance_report, in_memory, update_timeout, cfg_path, retain_config, verbose
        As for `FastDifPy`.

    Returns
    -------
    The pairs, the clusters with the image to keep, the errors.

    Raises
    ------
    UsageError
        If a directory or a setting cannot be used.
    """
    arguments = {name: value for name, value in locals().items() if name not in _STAGES}
    asked = one_threshold(threshold, similarity_threshold=similarity_threshold)
    if similarity is not None:
        if asked is not None:
            raise UsageError("threshold= and similarity= are two ways to say one thing; give one of them")
        asked = threshold_of(similarity)
    comparison: dict[str, Any] = {
        "similarity_threshold": default_threshold("mse") if asked is None and not on else asked,
        "rotations": rotations,
        "mirror": mirror,
        "match_aspect_by": aspect_factor(only_matching_aspect, match_aspect_by),
        "only_matching_hash": only_matching_hash,
        "skip_matching_hash": skip_matching_hash,
        "within_folder": within_folder,
        "across_folders": across_folders,
    }
    if on:
        comparison |= {"on": on, "metric": metric}
    else:
        with named_threshold(threshold):
            CompareSettings(**comparison)
    with Project(*split_arguments(arguments)) as project, project.writing():
        project.index()
        if identical:
            return project.find_identical()
        project.make_thumbnails(compute_hash=only_matching_hash or skip_matching_hash)
        project.compare(**comparison)
        if verify:
            project.verify()
        if edited:
            project.find_edited()
        return project.result()
