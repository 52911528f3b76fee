"""Calibration of a store: copies are made and compared, as far as that is not done yet."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..config import check_whole
from ..errors import UsageError
from ..evaluation.calibration import Calibration, collect_calibration
from ..images.edited_copies import KINDS
from ..outputs.progress_bar import stage_bar
from ..runtime.connection import close_embedded, embedded_client
from ..stages.calibrate import choose_sample, copy_images, measure_blocks
from ..storage.derived.calibrations import CalibrationFiles
from ..storage.pending import check_read
from ..storage.store import Store

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["calibrate", "calibrate_store", "check_kinds"]

Bar = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]


def check_kinds(kinds: str | Sequence[str]) -> tuple[str, ...]:
    """Give the names of kinds of copies, in their usual order; all of them if none is given.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    given = kinds.split(",") if isinstance(kinds, str) else kinds
    wanted = {name.strip().replace("-", " ") for one in given for name in one.split(",")} - {""}
    for name in sorted(wanted):
        if name not in KINDS:
            raise UsageError(f"there is no kind {name!r} of copies in kinds=; use {', '.join(KINDS)}")
    return tuple(name for name in KINDS if name in wanted or not wanted)


def calibrate(store: Store, client: "Client", sample: int, kinds: tuple[str, ...], bar: Bar) -> Calibration:
    """Make copies of some images of a store, compare them with all, and collect the figures.

    Each image that was copied, and each block that was compared, is committed, so that a run goes on where one stopped.

    Parameters
    ----------
    store, client
        The store, locked for writing, whose thumbnails are finished; and the cluster.
    sample
        Images to copy.
    kinds
        Kinds of copies.
    bar
        Progress bar: name, total, unit.

    Returns
    -------
    The figures.
    """
    check_whole("sample", sample)
    check_read(store)
    files = CalibrationFiles(store, kinds, choose_sample(store, sample))
    with bar("copies", len(files.uncopied()), "images") as advance:
        for images in copy_images(store, client, files):
            advance(images)
    with bar("calibrate", len(files.unmeasured()), "blocks") as advance:
        for _ in measure_blocks(store, client, files):
            advance(1)
    return collect_calibration(store, files)


def calibrate_store(url: str, sample: int, kinds: tuple[str, ...]) -> Calibration:
    """Calibrate a store by threads of this process, see `calibrate`."""
    Store(url)  # an error of its own if there is none
    with Store.lock(url):
        client = embedded_client()
        try:
            return calibrate(
                Store(url), client, sample, kinds, lambda name, total, unit: stage_bar(name, total, unit, None)
            )
        finally:
            close_embedded(client)
