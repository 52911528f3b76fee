"""What a stage is given, and the defaults of the rest → what it is asked for."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import UsageError
from ..kernels.hashes import HashSettings
from ..kernels.measures import Measure, default_threshold, resolve_measure
from ..kernels.user_functions import check_sendable
from .options import Settings

__all__ = ["Directories", "asked_comparison", "asked_hashes", "names_of", "with_given"]

Directories = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def names_of(directories: Directories | None) -> tuple[str, ...]:
    """Names of folders, or of other things, of which there may be one, several or none.

    Raises
    ------
    UsageError
        If they are something else.
    """
    if directories is None:
        return ()
    several = [directories] if isinstance(directories, str | os.PathLike) else directories
    try:
        names = tuple(os.fspath(directory) for directory in several)
        if all(isinstance(name, str) for name in names):
            return names
    except TypeError:
        pass
    raise UsageError(f"{directories!r} is no folder, nor a list of folders; name one by a text or a Path")


def with_given(settings: Settings, defaults: Settings, **values: Any) -> Settings:
    """Settings with what was given, and the defaults of the rest of these."""
    return replace(
        settings, **{name: getattr(defaults, name) if value is None else value for name, value in values.items()}
    )


def asked_hashes(
    settings: Settings, function: Callable[[Any], str | bytes] | None, image_hashes: Sequence[str]
) -> HashSettings | None:
    """Which hashes the first loop computes, None for none; see `FastDifPy.first_loop_iteration`.

    Raises
    ------
    UsageError
        If there is no such hash, or the function cannot be sent to workers.
    """
    names: Any = (image_hashes,) if isinstance(image_hashes, str) else image_hashes
    hashing = HashSettings(
        amount=settings.fl_shift_amount,
        function=function,
        # what is no sequence is refused there
        image_hashes=tuple(names) if isinstance(names, Iterable) else names,
        turned=settings.fl_compute_hash or function is not None,
    )
    if function is not None:
        check_sendable(function, "hash function")
    return hashing if hashing.turned or hashing.image_hashes else None


def asked_comparison(
    settings: Settings,
    defaults: Settings,
    compare: str | Callable[[Any, Any], Any] | None,
    **given: Any,
) -> tuple[Settings, Measure | None]:
    """Settings of a comparison, and the measure if it is not MSE.

    Parameters
    ----------
    settings, defaults
        What was asked for so far, and what the settings of the comparison are without what is given.
    compare
        As `FastDifPy.second_loop_iteration` is given it.
    given
        The other settings of the comparison, by their names in `Settings`; None for the default.

    Raises
    ------
    UsageError
        If one cannot be used.
    """
    compare = defaults.sl_compare if compare is None else compare
    measure = None if isinstance(compare, str) and compare == "mse" else resolve_measure(compare)
    name = "mse" if measure is None else measure.name
    if given["similarity_threshold"] is None:
        # a threshold is one of its measure
        usual = defaults.similarity_threshold if name == defaults.sl_compare else None
        given["similarity_threshold"] = default_threshold(compare) if usual is None else usual
    # of two options that exclude each other, that which is given counts
    if given["sl_match_aspect_by"] is not None and given["sl_matching_aspect"] is None:
        given["sl_matching_aspect"] = False
    if given["sl_matching_aspect"] is not None and given["sl_match_aspect_by"] is None:
        defaults = replace(defaults, sl_matching_aspect=given["sl_matching_aspect"], sl_match_aspect_by=None)
    for one, other in (
        ("sl_matching_hash", "sl_skip_matching_hash"),
        ("sl_skip_matching_hash", "sl_matching_hash"),
    ):
        if given[one] and given[other] is None:
            given[other] = False
    return with_given(settings, defaults, sl_compare=name, **given), measure
