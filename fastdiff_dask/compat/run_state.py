"""Settings and progress of a project, under the names of fast_diff_py's configuration."""

from dataclasses import fields
from functools import cached_property
from typing import Any

from ..errors import UsageError
from ..images.display import project_html
from ..project.options import NEEDLESS, Settings, declarations
from ..storage.comparisons import Comparison
from ..storage.derived.verdicts import read_verdicts
from ..storage.pending import choose_comparison, is_finished, pairs_left, unread_blocks
from ..storage.schema import ARRAYS, THUMBNAILS
from ..storage.store import Store
from ..text import counted, printable, titled

__all__ = ["RunState", "show_state"]


class RunState:
    """Settings and progress of a run, as its store had them when this was made.

    The fields of `Settings` are attributes too. All is read only: settings are arguments of `FastDifPy` and its stages.

    Parameters
    ----------
    settings
        The settings of the run.
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
        if name == "threshold":
            return self.settings.similarity_threshold
        if name in NEEDLESS:
            raise AttributeError(f"{name} is of no use here: {NEEDLESS[name]}")
        return getattr(self.settings, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and "_store" in self.__dict__:
            raise AttributeError(f"{name} is read only here; settings are arguments of FastDifPy and its stages")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return titled("State", self.described())

    def _repr_html_(self) -> str:
        return show_state(self, self._url)

    def described(self) -> list[str]:
        """Describe stage, images, store and settings that are not the usual ones, a line each."""
        total = 0 if self._store is None else sum(self._store.rows())
        lines = [f"{self.state}, {counted(total, 'image')} listed, {self.fl_inserted_counter:,} read"]
        settings, usual = self.settings.to_values(), Settings().to_values()
        places = {name for name, (_, option) in declarations(Settings).items() if option.place}
        changed = [f"{name}={value!r}" for name, value in settings.items() if value != usual.get(name)]
        folders = [*settings["p_root_dir_a"], *settings["p_root_dir_b"]]
        lines += [f"folders: {printable(', '.join(folders))}"] if folders else []
        lines.append(f"store: {printable(self._url)}")
        other = [text for text in changed if text.split("=")[0] not in places]
        return lines + ([f"settings: {', '.join(other)}"] if other else [])

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(field.name for field in fields(self.settings))})

    @property
    def sl_plot_output_dir(self) -> str:
        """Folder of the plots."""
        return self.settings.sl_plot_output_dir or f"{self._url.rstrip('/')}/plots"

    @property
    def thumb_dir_a(self) -> str:
        """Place of the thumbnails of both sides, an array in the store."""
        return f"{self._url.rstrip('/')}/{ARRAYS}/{THUMBNAILS}"

    @property
    def thumb_dir_b(self) -> str | None:
        """Place of the thumbnails, the same one, if there is a side b; else None."""
        return self.thumb_dir_a if self.has_dir_b else None

    @property
    def database(self) -> dict[str, str]:
        """Kind and address of the store, which is the database here; `FastDifPy.to_sql` writes one of SQL."""
        return {"type": "zarr", "path": self._url}

    @property
    def retain_db(self) -> bool:
        """True: the store stays until `FastDifPy.clean_up` removes it."""
        return True

    @property
    def less_optimized(self) -> bool:
        """False: there is one algorithm for small and large collections."""
        return False

    @property
    def fl_use_workers(self) -> bool:
        """True: workers read and write the store by themselves."""
        return True

    @property
    def sl_use_workers(self) -> bool:
        """True: workers read and write the store by themselves."""
        return True

    @property
    def cli_args(self) -> None:
        """None: the arguments of a command line are not recorded but as settings."""
        return

    @property
    def has_dir_b(self) -> bool:
        """True if one collection is compared with another."""
        return bool(self.settings.p_root_dir_b) if self._store is None else self._store.two_sides

    @cached_property
    def _images(self) -> tuple[int, int, int]:
        """Numbers of current images of side a, of side b, and of those that could not be read."""
        if self._store is None:
            return 0, 0, 0
        frame = self._store.read_images(["side", "current", "error"])
        a, b = (int((frame.current & (frame.side == side)).sum()) for side in ("a", "b"))
        return a, b, int((frame.current & frame.error.notna()).sum())

    @property
    def images(self) -> tuple[int, int]:
        """Numbers of images in the index, of side a and of side b."""
        return self._images[:2]

    @property
    def fl_errors(self) -> int:
        """Number of images that could not be read."""
        return self._images[2]

    @property
    def enough_images_to_compare(self) -> bool:
        """True if there is a pair to compare; False before the folders are listed."""
        a, b = self.images
        return bool(a and b) if self.has_dir_b else a > 1

    @cached_property
    def _left(self) -> dict[int, int]:
        return {} if self._store is None else unread_blocks(self._store)

    @property
    def fl_inserted_counter(self) -> int:
        """Number of images that were read, errors included."""
        if self._store is None:
            return 0
        return sum(rows for block, rows in enumerate(self._store.rows()) if block not in self._left)

    @property
    def sl_has_thumb(self) -> bool:
        """True if all images were read."""
        return self._store is not None and bool(self._store.blocks) and not self._left

    @cached_property
    def _comparison(self) -> Comparison | None:
        """The comparison by which a run goes on, if it was begun."""
        if self._store is None:
            return None
        try:
            chosen = choose_comparison(self._store, self.settings.comparison)
        except UsageError:  # there are no hashes, or hashes of several kinds
            return None
        return chosen if chosen.is_begun() else None

    @property
    def sl_queue_status(self) -> dict[str, int] | None:
        """Numbers of tiles, of finished tiles and of pairs that are left; None before the comparison begins."""
        return self._queue

    @cached_property
    def _queue(self) -> dict[str, int] | None:
        if self._comparison is None:
            return None
        plans = self._comparison.plans()
        tiles, pending = sum(len(plan.tiles) for plan in plans), sum(len(plan.pending()) for plan in plans)
        return {"tiles": tiles, "tiles_done": tiles - pending, "pairs_left": pairs_left(self._comparison)}

    def count_looked_at(self) -> int:
        """Count the similar pairs that have a verdict, see `FastDifPy.verify`."""
        return 0 if self._store is None else len(read_verdicts(self._store))

    @property
    def state(self) -> str:
        """Stage: init, indexed_dirs, first_loop_in_progress or _done, second_loop_in_progress or _done."""
        if self._store is None or not (self._store.blocks or self._store.records.has_index()):
            return "init"
        if self._left:
            return "first_loop_in_progress" if self.fl_inserted_counter else "indexed_dirs"
        if self._comparison is None:
            return "first_loop_done" if self._store.blocks else "indexed_dirs"
        return "second_loop_done" if is_finished(self._comparison) else "second_loop_in_progress"


def show_state(state: RunState, url: str) -> str:
    """HTML of a project: its stages with their progress, and its settings."""
    settings, counts = state.settings, state.images
    total, begun = sum(counts), state.state != "init"
    read = total if state.sl_has_thumb else min(state.fl_inserted_counter, total)
    listed = f"{counts[0]} images" if not state.has_dir_b else f"{counts[0]} images and {counts[1]} to compare with"
    stages = [("index", 1.0 if begun else 0.0, listed if begun else "not begun")]
    text = f"{read} of {total} images read" + (f", {state.fl_errors} of them errors" if state.fl_errors else "")
    stages.append(("thumbnail", read / max(total, 1), text if begun else "not begun"))
    queue = state.sl_queue_status
    if queue is None:
        stages.append(("compare", 0.0, "not begun"))
    else:
        tiles = f"{queue['tiles_done']} of {queue['tiles']} tiles"
        left = f", {queue['pairs_left']:,} pairs left" if queue["pairs_left"] else ", no pair left"
        done = 1.0 if not queue["pairs_left"] else queue["tiles_done"] / max(queue["tiles"], 1)
        stages.append(("compare", done, tiles + left))
    looked = state.count_looked_at()
    stages.append(("verify", float(looked > 0), f"{counted(looked, 'pair')} looked at" if looked else "not begun"))
    folders = [("a", settings.p_root_dir_a), ("b", settings.p_root_dir_b)]
    facts = [
        *((f"folders {side}" if settings.p_root_dir_b else "folders", ", ".join(names)) for side, names in folders),
        ("store", url),
    ]
    defaults = Settings().to_values()
    marked = [
        (name, f"{value}" if value == defaults.get(name) else f"{value} (default: {defaults.get(name, 'none')})")
        for name, value in settings.to_values().items()
    ]
    return project_html(
        f"FastDifPy: {state.state}",
        stages,
        [(name, printable(value)) for name, value in facts if value],
        [(name, printable(value)) for name, value in marked],
    )
