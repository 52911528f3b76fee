"""How far a job is, under the names of fast_diff_py's configuration, from the store alone."""

import os
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

from .comparisons import Comparison
from .errors import StoreMismatchError, UsageError, printable
from .planning import pairs_left, unplanned
from .settings import Settings
from .store import Store
from .thumbnails import hashing_of, unread_blocks

__all__ = ["RunState", "record_settings", "recorded_settings"]


class RunState:
    """The settings of a run, and how far it is; as it was when this was made.

    It has the attributes of `Settings` as well. All of it is read only: settings are arguments of `FastDifPy` and its
    stages.

    Parameters
    ----------
    settings
        What was asked for.
    url
        Address of the store.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self._url = url
        self._store = Store(url) if Store.exists(url) else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "settings":
            raise AttributeError(name)
        return getattr(self.settings, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and "_store" in self.__dict__:
            raise AttributeError(f"{name} is read only here; settings are arguments of FastDifPy and its stages")
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(field.name for field in fields(self.settings))})

    @property
    def sl_plot_output_dir(self) -> str:
        """Where plots are drawn."""
        return self.settings.sl_plot_output_dir or f"{self._url.rstrip('/')}/plots"

    @property
    def thumb_dir_a(self) -> str:
        """Where the thumbnails are; those of both sides are in one array."""
        return f"{self._url.rstrip('/')}/arrays.zarr/thumbnails"

    @property
    def thumb_dir_b(self) -> str | None:
        """The same, if there is a side b."""
        return self.thumb_dir_a if self.has_dir_b else None

    @property
    def has_dir_b(self) -> bool:
        """Whether one collection is compared with another."""
        return bool(self.settings.p_root_dir_b) if self._store is None else self._store.two_sides

    @cached_property
    def _images(self) -> tuple[int, int, int]:
        """Current images of side a and of side b, and how many of both could not be read."""
        if self._store is None:
            return 0, 0, 0
        frame = self._store.read_images(["side", "current", "error"])
        a, b = (int((frame.current & (frame.side == side)).sum()) for side in ("a", "b"))
        return a, b, int((frame.current & frame.error.notna()).sum())

    @property
    def images(self) -> tuple[int, int]:
        """Images that are listed, of side a and of side b."""
        return self._images[:2]

    @property
    def fl_errors(self) -> int:
        """Images that could not be read."""
        return self._images[2]

    @property
    def enough_images_to_compare(self) -> bool:
        """Whether there is a pair; False before the folders are listed."""
        a, b = self.images
        return bool(a and b) if self.has_dir_b else a > 1

    @cached_property
    def _left(self) -> dict[int, int]:
        return {} if self._store is None else unread_blocks(self._store)

    @property
    def fl_inserted_counter(self) -> int:
        """Images that were read, errors included."""
        if self._store is None:
            return 0
        return sum(rows for block, rows in enumerate(self._store.rows()) if block not in self._left)

    @property
    def sl_has_thumb(self) -> bool:
        """Whether all images were read."""
        return self._store is not None and bool(self._store.blocks) and not self._left

    @cached_property
    def _comparison(self) -> Comparison | None:
        """The one that answers what was asked for, if it was begun."""
        if self._store is None:
            return None
        wanted = self.settings.comparison
        if wanted.only_matching_hash or wanted.skip_matching_hash:
            try:
                wanted = replace(wanted, hashes=hashing_of(self._store))
            except UsageError:  # there are none, or of several kinds
                return None
        found = [
            one
            for one in Comparison.all_in(self._store)
            if one.settings.similarity_threshold >= wanted.similarity_threshold
            and replace(wanted, similarity_threshold=0) == replace(one.settings, similarity_threshold=0)
        ]
        return min(found, key=lambda one: one.settings.similarity_threshold, default=None)

    @property
    def sl_queue_status(self) -> dict[str, int] | None:
        """Tiles planned so far, those that are done, and pairs that are left; None before the comparison is begun."""
        return self._queue

    @cached_property
    def _queue(self) -> dict[str, int] | None:
        if self._comparison is None:
            return None
        plans = self._comparison.plans()
        tiles, pending = sum(len(plan.tiles) for plan in plans), sum(len(plan.pending()) for plan in plans)
        return {"tiles": tiles, "tiles_done": tiles - pending, "pairs_left": pairs_left(self._comparison)}

    @property
    def state(self) -> str:
        """The stage: "init", "indexed_dirs", "first_loop_in_progress", "first_loop_done", "second_loop_..." """
        if self._store is None or not (self._store.blocks or "index.json" in self._store.files.names()):
            return "init"
        if self._left:
            return "first_loop_in_progress" if self.fl_inserted_counter else "indexed_dirs"
        status = self.sl_queue_status
        if status is None:
            return "first_loop_done" if self._store.blocks else "indexed_dirs"
        finished = status["tiles_done"] == status["tiles"] and not unplanned(self._comparison)  # type: ignore[arg-type]
        return "second_loop_done" if finished else "second_loop_in_progress"


def record_settings(store: Store, settings: Settings, sources: dict[str, str]) -> None:
    """Keep the settings of a run in its store, and the addresses of the stores that it compares, if it does."""
    store.write_settings({"settings": settings.to_values(), "stores": sources})


def recorded_settings(store: Store) -> tuple[Settings, dict[str, str]]:
    """Settings of the last run, and the addresses of the stores that it compared.

    A store may come from someone else: of where to write nothing is taken over, and which folders it is about is known
    from itself. They have the names that the user gave where these are the same folders still.

    Raises
    ------
    StoreMismatchError
        If they are damaged.
    """
    found = store.read_settings()
    made = store.thumbnail_settings
    try:
        values = dict(found.get("settings", {}))
        sources = {str(side): str(url) for side, url in dict(found.get("stores", {})).items()}
        if sources and set(sources) != {"a", "b"}:
            raise ValueError("its stores are not two")
        settings = Settings.from_values(values)
    except (UsageError, ValueError, TypeError) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise StoreMismatchError(
            f"the store at {store.url} has damaged settings ({reason}); remove settings.json from it to go on with the "
            f"usual ones"
        ) from None
    folders = (*settings.p_root_dir_a, *settings.p_root_dir_b)
    given = {os.path.realpath(os.path.expanduser(name)): name for name in folders}  # noqa: PTH111 - or URLs
    names = {side: tuple(given.get(folder, folder) for folder in store.roots[side]) for side in ("a", "b")}
    settings = replace(
        settings,
        p_root_dir_a=() if sources else names["a"],
        p_root_dir_b=() if sources else names["b"],
        thumbnail_size_x=made.width,
        thumbnail_size_y=made.height,
        block_size=made.block_size,
        exact_decode=made.exact_decode,
        sl_make_diff_plots=False,
        sl_plot_output_dir=None,
        cfg_path=None,
        retain_config=False,
    )
    return settings, sources
