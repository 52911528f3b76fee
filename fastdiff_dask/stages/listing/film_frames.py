"""Listed films and animations → a listed image for each of their frames that is compared."""

import math
import os
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

from ...config import PIXEL_LIMIT, TIME_LIMIT
from ...images.decoder_pool import reader
from ...images.decoder_process import LENGTH, ListedFile, Request
from ...images.films import ANIMATIONS, FILMS, frame_name, split_frame
from ...urls import full_path, is_url
from .walk_local import ListedImage, has_extension

__all__ = ["list_frames"]

# Films that are asked for their length at a time.
_AT_ONCE = 64
# A film of more frames than these is a mistake: a day of film, a frame each second.
_MOST_FRAMES = 86_400


def list_frames(
    rows: list[ListedImage],
    known: Iterable[Any],
    every: float,
    advance: Callable[[int], None],
    time_limit: float = TIME_LIMIT,
) -> list[ListedImage]:
    """Put the frames of films in their place in a listing, and those of animations after these.

    A decoder process opens each film to tell its length, unless frames of it are known, with the same size and time of
    modification, at 0 and at `every` seconds.

    Parameters
    ----------
    rows
        The listing, with the films.
    known
        Current images of the store: root, path, path_bytes, size, mtime_ns.
    every
        Seconds from one frame to the next.
    advance
        Function called with 0 from time to time.
    time_limit
        Seconds for a film, 0 for no limit.

    Returns
    -------
    The listing. A film whose length cannot be told is an image with an error.
    """
    times = _known_times(known)
    result: list[ListedImage] = []
    waiting: list[ListedImage] = []
    for row in rows:
        film = has_extension(row.path, FILMS)
        if row.size < 0 or not (film or has_extension(row.path, ANIMATIONS)) or is_url(row.root):
            result.append(row)
            continue
        if not film:
            result.append(row)
        there = times.get((row.root, row.path, row.path_bytes, row.size, row.mtime_ns), [])
        first = [0.0, every] if film else [every, 2 * every]
        if len(there) > 1 and there[:2] == first and _follow(there, every):
            result += [_frame(row, seconds) for seconds in there]
        else:
            waiting.append(row)
    for start in range(0, len(waiting), _AT_ONCE):
        advance(0)
        result += _frames(waiting[start : start + _AT_ONCE], every, time_limit)
    return result


def _known_times(known: Iterable[Any]) -> dict[tuple[Any, ...], list[float]]:
    """Times of the frames that a store has, by film."""
    times = defaultdict[tuple[Any, ...], list[float]](list)
    for row in known:
        path, seconds = split_frame(row.path)
        if seconds is not None:
            raw = os.fsencode(split_frame(os.fsdecode(row.path_bytes))[0]) if row.path_bytes else b""
            times[row.root, path, raw, row.size, row.mtime_ns].append(seconds)
    return {film: sorted(found) for film, found in times.items()}


def _follow(times: list[float], every: float) -> bool:
    """Tell if each time is so much later than the one before."""
    return all(math.isclose(b - a, every, abs_tol=2e-3) for a, b in pairwise(times))


def _frames(films: list[ListedImage], every: float, time_limit: float) -> Iterator[ListedImage]:
    """List the frames of some films whose lengths are not known."""
    files = [
        ListedFile(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row.size, row.mtime_ns, look=LENGTH)
        for row in films
    ]
    waiting = iter(films)
    with reader() as decoder:
        for answer in decoder.read(Request(files, 8, 8, False, PIXEL_LIMIT, time_limit)):
            row = next(waiting)
            (record,) = answer.records
            film = has_extension(row.path, FILMS)
            if record.error:
                if film:  # a broken animation tells so itself
                    yield row._replace(size=-1, error=record.error)
                continue
            (length,) = struct.unpack("<d", answer.thumbnails)
            if length / every > _MOST_FRAMES:
                error = f"{length / every:,.0f} frames of it are too many; take one less often (frames_every)"
                yield row._replace(size=-1, error=error)
                continue
            last = max(math.ceil(length / every - 1e-9), 1 if film else 0)
            yield from (_frame(row, number * every) for number in range(0 if film else 1, last))


def _frame(film: ListedImage, seconds: float) -> ListedImage:
    raw = os.fsencode(frame_name(os.fsdecode(film.path_bytes), seconds)) if film.path_bytes else b""
    return film._replace(path=frame_name(film.path, seconds), path_bytes=raw)
