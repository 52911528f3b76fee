"""Arguments of a project and of its stages, merged with its options."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..config import METRIC_THRESHOLDS, aspect_factor, default_threshold
from ..errors import UsageError
from ..kernels.hashes import HashSettings
from ..kernels.measures import Measure, resolve_measure
from ..user_functions import check_sendable
from .options import ClientOptions, Settings, declarations, excluded_by, renamed

__all__ = [
    "Directories",
    "Keep",
    "hash_settings",
    "merge_arguments",
    "merge_comparison",
    "name_of",
    "named_threshold",
    "names_of",
    "one_threshold",
    "split_arguments",
]

# Rules by which an image is kept: names, and functions of the rows of a group.
Keep = str | Callable[[Any], Any] | Sequence[str | Callable[[Any], Any]]
Directories = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_CLIENT = declarations(ClientOptions)
_ARGUMENTS = {name: option.argument for name, (_, option) in declarations(Settings).items() if option.argument}
# Arguments with several texts that name no folders.
_THINGS = {"extensions": "ending", "ignore_names": "pattern"}
# Options that only stages have are no arguments of a project.
_SETTINGS = {
    option.argument or name: name
    for name, (_, option) in declarations(Settings).items()
    if not name.startswith(("fl_", "sl_", "similarity_"))
}


@contextlib.contextmanager
def _named_as_arguments() -> Iterator[None]:
    """Name in errors the arguments, which the caller wrote, and not the settings."""
    try:
        yield
    except UsageError as error:
        raise type(error)(renamed(str(error), _ARGUMENTS)) from None


def one_threshold(threshold: float | None, **former: float | None) -> float | None:
    """Give the threshold, which has two names: ``threshold``, and that of the replaced program.

    Parameters
    ----------
    threshold
        The value under the name that the command line has too.
    **former
        The value under its other name.

    Returns
    -------
    The value that was given, if any.

    Raises
    ------
    UsageError
        If both were given.

    Examples
    --------
    >>> one_threshold(100.0, similarity=None), one_threshold(None, similarity=50.0)
    (100.0, 50.0)
    """
    ((name, value),) = former.items()
    if threshold is not None and value is not None:
        raise UsageError(f"threshold= and {name}= are two names of one thing; give one of them")
    return value if threshold is None else threshold


@contextlib.contextmanager
def named_threshold(threshold: float | None) -> Iterator[None]:
    """Name in errors the threshold as the caller did: ``threshold``, if that was given."""
    try:
        yield
    except UsageError as error:
        if threshold is None:
            raise
        names = dict.fromkeys(("similarity_threshold", "similarity"), "threshold")
        raise type(error)(renamed(str(error), names)) from None


def name_of(argument: str, value: object) -> str:
    """Name of a file, a folder or another place, given as a text or a path.

    Raises
    ------
    UsageError
        If a value is no name; the message names the argument.
    """
    with contextlib.suppress(TypeError):
        name = os.fspath(value)  # type: ignore[call-overload]
        if isinstance(name, str):
            return name
    raise UsageError(f"{argument}={value!r} is no name; use a text or a Path")


def names_of(directories: Directories | None, argument: str = "", what: str = "folder") -> tuple[str, ...]:
    """Names of one, several or no folders or other things, as a tuple.

    Parameters
    ----------
    directories
        The value of the argument.
    argument, what
        Name of the argument and of such a thing, for an error.

    Returns
    -------
    The names.

    Raises
    ------
    UsageError
        If a value is no name.
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
    given = f"{argument}={directories!r}"
    raise UsageError(f"{given} is no {what}, nor a list of {what}s; name one by a text or a Path")


def split_arguments(arguments: dict[str, Any]) -> tuple[Settings, ClientOptions]:
    """Split the arguments of `FastDifPy` or `find_duplicates` into settings and the options of its client.

    Raises
    ------
    UsageError
        If a value cannot be used.
    """
    settings: dict[str, Any] = {}
    for name in arguments.keys() - _CLIENT.keys():
        value, setting = arguments[name], _SETTINGS[name]
        if isinstance(getattr(Settings, setting), tuple):
            value = names_of(value, name, _THINGS.get(name, "folder"))
        elif isinstance(value, os.PathLike):
            value = name_of(name, value)
        settings[setting] = value
    with _named_as_arguments():
        options = Settings(**settings)
    return options, ClientOptions(**{name: arguments[name] for name in arguments.keys() & _CLIENT.keys()})


def merge_arguments(settings: Settings, defaults: Settings, **arguments: Any) -> Settings:
    """Merge arguments, by their names in `Settings`, into settings; the default counts for None."""
    with _named_as_arguments():
        return replace(
            settings, **{name: getattr(defaults, name) if value is None else value for name, value in arguments.items()}
        )


def hash_settings(
    settings: Settings, function: Callable[[Any], str | bytes] | None, image_hashes: Sequence[str]
) -> HashSettings | None:
    """Kind of the hashes to compute, None for none; see `FastDifPy.first_loop_iteration`.

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


def merge_comparison(
    settings: Settings,
    defaults: Settings,
    compare: str | Callable[[Any, Any], Any] | None,
    prepare: Callable[[Any], Any] | None = None,
    **arguments: Any,
) -> tuple[Settings, Measure | None]:
    """Merge the arguments of a comparison into the settings.

    Parameters
    ----------
    settings, defaults
        The settings so far, and those of the project, which count where no argument is given.
    compare, prepare
        The measure, as for `FastDifPy.second_loop_iteration`.
    **arguments
        The other settings of the comparison, by their names in `Settings`; None for the default.

    Returns
    -------
    The settings of the stage, and the measure if signatures do not bound it.

    Raises
    ------
    UsageError
        If one cannot be used.
    """
    on, metric = (
        getattr(defaults, key) if arguments.get(key) is None else arguments[key] for key in ("sl_vectors", "sl_metric")
    )
    if on and (compare is not None or prepare is not None):
        raise UsageError("compare= is for thumbnails, and on= for vectors; compare those by metric=")
    if not on and arguments.get("sl_metric") is not None:
        raise UsageError("metric= is for vectors; name them by on=")
    compare = defaults.sl_compare if compare is None else compare
    measure = None if on else resolve_measure(compare, prepare)
    name = str(compare) if measure is None else measure.name
    if arguments["similarity_threshold"] is None:
        # a threshold is one of its measure
        same = (on, metric if on else name) == (defaults.sl_vectors, defaults.sl_metric if on else defaults.sl_compare)
        usual = defaults.similarity_threshold if same else None
        if usual is None:
            usual = METRIC_THRESHOLDS.get(metric) if on else default_threshold(compare)
        arguments["similarity_threshold"] = usual
    if on:  # what is not given is not that of thumbnails
        arguments |= {"sl_vectors": on, "sl_metric": metric}
        defaults = replace(defaults, sl_vectors="", similarity_threshold=None)
    given = {name: value for name, value in arguments.items() if value is not None}
    aspect_factor(given.get("sl_matching_aspect", False), None)  # a mistake is named by the argument
    defaults = replace(defaults, **excluded_by(given))
    return merge_arguments(settings, defaults, sl_compare=name, **arguments), measure
