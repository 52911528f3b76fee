"""All stages in one call."""

from typing import Any

from ..config import DEFAULT_THRESHOLDS, CompareSettings, aspect_factor
from ..results.result import Result
from .arguments import Directories, split_arguments
from .project import Project

__all__ = ["find_duplicates"]


def find_duplicates(
    directory_a: Directories,
    directory_b: Directories | None = None,
    *,
    similarity_threshold: float = DEFAULT_THRESHOLDS["mse"],
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
        Rules for a similar pair, see `CompareSettings`.
    only_matching_aspect, match_aspect_by, only_matching_hash, skip_matching_hash
        Rules for the pairs that are compared, see `FastDifPy.second_loop_iteration`; hashes are computed if needed.
    **options
        As for `FastDifPy`; and, False by default, ``verify``: look at similar pairs once more, see `Project.verify`;
        and ``edited``: look for edited copies as well, see `Project.find_edited`.

    Returns
    -------
    The pairs, the clusters with the image to keep, the errors.

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
    verify, edited = options.pop("verify", False), options.pop("edited", False)
    arguments = {"directory_a": directory_a, "directory_b": directory_b, **options}
    with Project(*split_arguments(arguments)) as project, project.writing():
        project.index()
        project.make_thumbnails(compute_hash=only_matching_hash or skip_matching_hash)
        project.compare(**comparison)
        if verify:
            project.verify()
        if edited:
            project.find_edited()
        return project.result()
