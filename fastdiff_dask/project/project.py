"""One project: the stages of its job, and all that people do with the result."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import DEFAULT_COPIED, DEFAULT_SAMPLE, check_flag, check_verdicts
from ..errors import UsageError
from ..results.collect import collect_errors
from ..storage.cleanup import clean_store, print_left
from ..storage.comparisons import Comparison
from ..storage.files import Files
from ..storage.pending import check_measured, check_read
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from .arguments import Directories, Keep, name_of, names_of, one_threshold
from .look_up import AskedProject

if TYPE_CHECKING:
    import dask.array as da
    import dask.dataframe as dd
    import pandas as pd
    import xarray as xr
    from distributed import Client

    from ..actions.removal_plan import RemovalPlan
    from ..actions.removals import Outcome
    from ..evaluation.calibration import Calibration
    from ..inspection.inspection import Inspection
    from ..outputs.pair import Pair
    from ..outputs.tables import Tables
    from ..results.clusters import Gallery
    from ..results.keep_rules import KeepRules
    from ..results.result import Result
    from ..review.server import ReviewServer
    from ..stages.estimate import Estimate

__all__ = ["Project"]


class Project(AskedProject):
    """Find the duplicates of one collection, or of one against another, and act on the result.

    See `Job` for its parameters.

    Examples
    --------
    >>> import tempfile
    >>> from fastdiff_dask.project.options import Settings
    >>> from fastdiff_dask.testing import simulate_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     photos = simulate_images(folder + "/photos", images=6, duplicates=2)
    ...     settings = Settings(p_root_dir_a=(folder + "/photos",), store=folder + "/store")
    ...     with Project(settings) as project:
    ...         counts = project.index()
    ...         project.make_thumbnails()
    ...         project.compare()
    ...         result = project.result()
    >>> counts.new, len(result.clusters), len(result.low_quality)
    (8, 2, 2)
    """

    def estimate(self, sample: int = DEFAULT_SAMPLE) -> "Estimate":
        """Estimate what all stages will take, from a sample of the files; needs no index and writes nothing.

        The figures are those of a first run, whatever is in the store already.

        Parameters
        ----------
        sample
            Number of files to read, all if there are fewer; spread evenly over the folders.

        Returns
        -------
        The estimate.

        Raises
        ------
        UsageError
            If `sample` is no whole number from 1.
        """
        from ..stages.estimate import check_sample, estimate_job

        check_sample(sample)
        if self._origin.stores:
            raise UsageError("an estimate reads pictures, which are not needed here; copying takes seconds")
        files = Files(self.saved_url)
        return estimate_job(
            self.client,
            self.roots,
            self.settings.index,
            self.settings.thumbnails,
            self.settings.reading,
            sample=sample,
            own=files.root if files.local else None,
        )

    def _collect(self, comparison: Comparison, threshold: float) -> "Result":
        planner = partial(list_removable, self.saved_url, self.settings.verify_size)
        return replace(super()._collect(comparison, threshold), planner=planner)

    @property
    def pairs(self) -> "pd.DataFrame":
        """The similar pairs, sorted by path: a, b, mse, rotation, mirrored; see `Result.pairs`."""
        return self.result().pairs

    def pair(self, a: str, b: str) -> "Pair":
        """Two images side by side, similar or not; a notebook shows both, their differences and their MSE.

        Memory and time grow with the number of images, by some 200 B and microseconds each.

        Parameters
        ----------
        a, b
            Their paths, as `pairs` has them.

        Returns
        -------
        The pair, which a notebook shows.

        Raises
        ------
        UsageError
            If there is no such image, or it was not read.
        """
        from ..outputs.pair import look_at_pair

        store = self.store
        check_read(store)
        return look_at_pair(store, self.roots, name_of("a", a), name_of("b", b), self.settings.comparison)

    @property
    def errors(self) -> "pd.DataFrame":
        """Files that could not be compared, sorted by path: path, error."""
        return collect_errors(self.store, self.roots)

    def to_sql(
        self,
        url: str = "sqlite:///diff.db",
        *,
        similarity: float | None = None,
        threshold: float | None = None,
        verdict: str | Sequence[str] = (),
        password: str | None = None,
        force: bool = False,
    ) -> dict[str, int]:
        """Write images, pairs, clusters and errors into a database, in place of an earlier call; see `sql.write_sql`.

        Parameters
        ----------
        url
            SQLAlchemy's URL of a SQLite file or a MariaDB database; by default ``diff.db`` in the current folder.
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        verdict
            Verdicts of the pairs, see `Result.with_verdict`; by default all.
        password, force
            As for `sql.write_sql`.

        Returns
        -------
        Number of rows of each table.
        """
        from ..outputs.sql import write_sql

        return write_sql(self._tables(similarity, threshold, verdict), url, password=password, force=force)

    def export(
        self,
        target: str | os.PathLike[str],
        table: str | None = None,
        *,
        form: str | None = None,
        similarity: float | None = None,
        threshold: float | None = None,
        verdict: str | Sequence[str] = (),
        password: str | None = None,
        force: bool = False,
    ) -> dict[str, int]:
        """Write one or all of the tables into a file, a folder or a database.

        Parameters
        ----------
        target, table, form
            As for `export.write_export`.
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        verdict
            Verdicts of the pairs, see `Result.with_verdict`; by default all.
        password, force
            As for `export.write_export`.

        Returns
        -------
        Number of rows of each table.
        """
        from ..outputs.export import write_export

        options: dict[str, Any] = {"table": table, "form": form, "password": password, "force": force}
        return write_export(self._tables(similarity, threshold, verdict), name_of("target", target), **options)

    def _tables(self, similarity: float | None, threshold: float | None, verdict: str | Sequence[str]) -> "Tables":
        from ..outputs.tables import Tables

        verdicts = _verdicts(verdict)
        asked = {"similarity": similarity, "threshold": threshold}
        one_threshold(threshold, similarity=similarity)
        return Tables(self.store, self.roots, lambda: self.result(**asked).with_verdict(verdicts))

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        limit: int | None = None,
        similarity: float | None = None,
        threshold: float | None = None,
        verdict: str | Sequence[str] = (),
        keep: Keep = (),
        prefer: Directories = (),
        protect: Directories = (),
    ) -> int:
        """Write the result as one HTML page, on which images may be marked; see `report.write_report`.

        Parameters
        ----------
        path
            The file.
        limit
            Clusters to show at most; 10,000 by default.
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        verdict
            Verdicts of the pairs, see `Result.with_verdict`; by default all.
        keep, prefer, protect
            Rules for the suggestions, as for `plan`.

        Returns
        -------
        Number of clusters that it shows.
        """
        from ..outputs.page.report import LIMIT, write_report

        rules, verdicts = _keep_rules(keep, prefer, protect), _verdicts(verdict)
        shown = LIMIT if limit is None else limit
        result = self.result(similarity, threshold=threshold).with_verdict(verdicts)
        return write_report(self.store, result, name_of("path", path), limit=shown, rules=rules)

    def review(self, address: str | None = None) -> "ReviewServer":
        """Serve the page on which to look at the groups, to mark, to apply and to undo, by a thread of this process.

        A notebook shows the page. It can be opened while the images are compared, and shows what is found so far.

        Parameters
        ----------
        address
            ``host:port`` to listen at; by default a port of this machine alone. Whoever has the address of the page,
            which has a token, can look at the pictures and move them to the trash.

        Returns
        -------
        The server: ``url``, and ``close()`` to end it.

        Raises
        ------
        UsageError
            If nothing was indexed yet, or the address cannot be used.
        """
        from ..review.server import serve_in_thread

        self._session.open()  # says what to do first
        return serve_in_thread(self.saved_url, address)

    def calibrate(self, sample: int = DEFAULT_COPIED, kinds: str | Sequence[str] = ()) -> "Calibration":
        """Make known copies of some images, and measure up to which threshold they are found, and how many wrong pairs.

        The copies are compared with all images of the collection, by MSE and by correlation. What was measured is in
        the store: called again, it goes on, and gives the same figures.

        Parameters
        ----------
        sample
            Images to copy, the same ones in each call.
        kinds
            Kinds of copies, see `testing.KINDS`; by default all. Several, or a text with commas.

        Returns
        -------
        The figures, see `evaluation.calibration.Calibration`.

        Raises
        ------
        UsageError
            If images were not read yet, or an argument cannot be used.
        """
        from .calibrate import calibrate, check_kinds

        wanted = check_kinds(kinds)
        with self._stage("calibrate"):
            return calibrate(self.store, self.client, sample, wanted, self._bar)

    def inspect(
        self,
        *,
        splits: str | Sequence[str] = (),
        similarity: float | None = None,
        threshold: float | None = None,
        verdict: str | Sequence[str] = (),
        read: bool = True,
        **limits: float,
    ) -> "Inspection":
        """Look for blank, dark, bright, blurred, odd, grey, equal and leaked images; see `inspection.definitions`.

        What was read for the thumbnails is enough. Images that an earlier version has read get their figures now:
        from the thumbnails, and the blur by reading the files again. Equal files are known of what was read; similar
        images, once images were compared. After this call, `images` has the columns as well.

        Parameters
        ----------
        splits
            Folders that are parts of the data set, several or a text with commas; by default those at the top that are
            named train, test, val and so on, see `inspection.splits.Splits`.
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        verdict
            Verdicts of the pairs, see `Result.with_verdict`; by default all.
        read
            Read files again whose blur is not known. If False, it stays unknown.
        **limits
            Limits other than the usual ones: blank, dark, bright, low_contrast, blurred, odd_size, odd_aspect,
            odd_mode, grey; see `inspection.definitions.Limits`.

        Returns
        -------
        The inspection: ``table``, ``to_dask()``, ``summary``, ``leaks``; a notebook shows it with pictures.

        Raises
        ------
        UsageError
            If images were not read yet, or an argument cannot be used.
        """
        from .inspect import check_limits, complete_figures, inspect_store

        check_flag("read", read)
        wanted, verdicts = check_limits(limits), _verdicts(verdict)
        one_threshold(threshold, similarity=similarity)
        store = self.store
        check_measured(store)

        def collect() -> "Result":
            return self.result(similarity, threshold=threshold).with_verdict(verdicts)

        with contextlib.ExitStack() as stack:
            complete_figures(
                store, read, self.settings.reading, lambda: stack.enter_context(self._measuring()), self._bar
            )
        is_asked = similarity is not None or threshold is not None or bool(verdicts)
        self._inspection = inspect_store(self.store, self.roots, wanted, splits, collect, is_asked)
        return self._inspection

    @contextlib.contextmanager
    def _measuring(self) -> "Iterator[Client]":
        with self._stage("inspect"), self._decoding():
            yield self.client

    # -- what may go -------------------------------------------------------------------------------------------------

    def plan(
        self,
        keep: Keep = (),
        *,
        prefer: Directories = (),
        protect: Directories = (),
        decisions: str | os.PathLike[str] | None = None,
        similarity: float | None = None,
        threshold: float | None = None,
        both_sides: bool = False,
        only_identical: bool = False,
        include_similar: bool = False,
        include_edited: bool = False,
        give_up: Sequence[str] = (),
    ) -> "RemovalPlan":
        """List the images that could be removed, each with the one to keep, which is similar to it. No file is touched.

        Parameters
        ----------
        keep
            Rules, the first one counts most: "most-pixels", "fewest-pixels", "largest", "smallest", "oldest", "newest",
            "oldest-taken", "newest-taken", "shortest-path"; with a value "format=png,jpg", "path=PATTERN",
            "not-path=PATTERN", "regex=REGEX", "not-regex=REGEX"; or a function that is given the rows of a group, a
            DataFrame with the path as index, and gives the path of the image to keep, or None. By default the order of
            `keep_order`: a date, more real pixels, signs of an original, less compression.
        prefer, protect
            Folders whose images are kept rather than others, in this order; folders in which nothing goes.
        decisions
            File of marks from the report. Only images that are marked there go, and never for one that is marked as no
            duplicate of it. `apply` records these pairs in the store.
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        both_sides
            Of A against B, take images of A as well; by default A is the reference, in which nothing goes.
        only_identical
            Take only files that are byte for byte the same as one that is kept.
        include_similar
            List images as well for which a second look at both files found no equal picture.
        include_edited
            List edited copies as well, if they were looked for: each for the image that it was made from. A part of a
            picture goes for the whole, never the other way round.
        give_up
            Parts that an image may have and the kept one lacks: "transparency", "more than 8 bits", "colour profile",
            "motion picture", "sound", "depth map", "layers"; and "more pixels", than the one in A, the reference.

        Returns
        -------
        The plan; ``to_frame()`` gives it as a table.
        """
        from ..actions.decisions import Decisions, read_decisions
        from ..actions.history import History
        from ..actions.removal_plan import plan_removals
        from ..results.second_look import look_again

        check_flag("both_sides", both_sides)
        check_flag("only_identical", only_identical)
        check_flag("include_edited", include_edited)
        rules = replace(_keep_rules(keep, prefer, protect), both_sides=both_sides)
        decided = Decisions() if decisions is None else read_decisions(self.store, name_of("decisions", decisions))
        result = self.result(similarity, threshold=threshold)
        store, size = self.store, self.settings.verify_size
        return plan_removals(
            store,
            result,
            rules,
            decided,
            history=History(),
            only_identical=only_identical,
            look=lambda result, ends: look_again(store, result, ends, size),
            include_similar=include_similar,
            include_edited=include_edited,
            give_up=give_up,
        )

    def gallery(
        self,
        n: int = 24,
        *,
        similarity: float | None = None,
        threshold: float | None = None,
        verdict: str | Sequence[str] = (),
    ) -> "Gallery":
        """Give the first groups of the result, which a notebook shows with pictures, some on a page.

        Parameters
        ----------
        n
            Groups to show, at most, the most certain ones first. Of a group, six pictures are read.
        similarity, threshold
            Largest MSE of a pair; by default that of the comparison, and not more. Both names mean the same.
        verdict
            Verdicts of the pairs, see `Result.with_verdict`; by default all.

        Returns
        -------
        The gallery.
        """
        return self.result(similarity, threshold=threshold).with_verdict(_verdicts(verdict)).gallery(n)

    def apply(
        self,
        plan: "RemovalPlan",
        action: str,
        folder: str | os.PathLike[str] | None = None,
        *,
        keep_metadata: bool = False,
        sidecars: str = "leave",
        keep_tree: bool = False,
        command: str | Sequence[str] | None = None,
        yes_really: bool = False,
    ) -> "list[Outcome]":
        """Remove the images of a plan. Each is read and compared again right before, and nothing is overwritten.

        Parameters
        ----------
        plan
            A plan, made by `plan`.
        action
            "move" (to `folder`), "trash", "delete" (without a way back), "hardlink" or "symlink" (to the image that is
            kept), "copy" (to `folder`; the images stay), or "exec" (runs `command` for each).
        folder
            Where to move or copy to.
        keep_metadata
            Copy capture date and GPS position of a JPEG file that goes into the file that is kept, where it has none;
            the picture stays as it is. `undo` does not take that back. Needs piexif
            (``pip install 'fastdiff_dask[metadata]'``).
        sidecars
            "leave" files like ``IMG_1.xmp`` and ``IMG_1.jpg.json`` beside an image that goes, or "move" them with it:
            to the same place; to the trash where a link takes the place of the image; deleted with it.
        keep_tree
            Images lie in `folder` as they lie below the folders that were searched; else all lie in it side by side.
        command
            Program and arguments, a list or a text that is split as a shell does; no shell runs it. ``{}`` stands for
            the path of the image, ``{keep}`` for that of the kept one. An image stays if its command ends with another
            exit code than 0. Whatever a command does, `undo` does not take it back.
        yes_really
            Carry the plan out even if it takes more than half of the images found, or all images of a folder with five
            or more.

        Returns
        -------
        The outcome for each file; of a file that stays, the reason.

        Raises
        ------
        UsageError
            If the plan passes such a limit, and `yes_really` is False; or if an argument cannot be used.
        """
        from ..actions.apply import apply_plan
        from ..actions.removal_plan import RemovalPlan, limits_passed

        if not isinstance(plan, RemovalPlan):
            raise UsageError(f"plan={plan!r} is no removal plan; plan() makes one")
        check_flag("yes_really", yes_really)
        if not self._shows_files():
            self._compared()
        if action != "copy" and not yes_really and (passed := limits_passed(self.store, plan)):
            raise UsageError(f"nothing was done: {'; '.join(passed)}; look at the plan, yes_really=True carries it out")
        target = None if folder is None else name_of("folder", folder)
        if plan.apart:
            self._remember_apart(plan.apart)
        options: Any = {"keep_metadata": keep_metadata, "sidecars": sidecars}
        options |= {"keep_tree": keep_tree, "command": command}
        return list(apply_plan(Store(self.saved_url), plan, plan.value.settings, action, target, **options))

    def undo(self) -> "list[Outcome]":
        """Bring back the files that the last `apply` to this store, in any process, has moved, trashed or linked."""
        from ..actions.journal import last_to_undo
        from ..actions.undo import clear_away, undo

        found, _ = last_to_undo(self.saved_url)
        if found is None and clear_away():
            return []
        if found is None:
            raise UsageError(f"there is nothing to undo of {self.saved_url}; what was deleted cannot come back")
        return list(undo(found))

    def not_duplicates(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Record in the store that images are no duplicates of each other, by content.

        Parameters
        ----------
        pairs
            Paths of two images, as in `pairs`.

        Returns
        -------
        Number of pairs that were not recorded before.
        """
        from ..actions.decisions import numbers_of_pairs

        named = list(pairs) if isinstance(pairs, Iterable) else [pairs]
        for pair in named:
            two = isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)
            if not two or not all(isinstance(name, str) for name in pair):
                raise UsageError(f"pairs={pairs!r} has {pair!r}, which is no pair; name two images by their paths")
        return self._remember_apart(numbers_of_pairs(self.result(), named))

    def _remember_apart(self, numbers: list[tuple[int, int]]) -> int:
        from ..actions.decisions import remember_not_duplicates

        self._verified = None
        with self.writing():
            added = remember_not_duplicates(self.store, numbers)
            self._session.save()
        return added

    def clean_up(self, thumbs: bool = True, db: bool = True, config: bool = True) -> None:
        """Remove files of the store that are not needed any more; never a picture, nor a file of someone else.

        Parameters
        ----------
        thumbs
            Remove the thumbnails, which are most of the store. Results can still be read; for a new comparison all
            pictures are read again.
        db
            Remove the comparisons and, with `thumbs`, the metadata of the pictures: nothing is left.
        config
            Remove the settings: those in the store, and the file `cfg_path` if this wrote it.

        Raises
        ------
        StoreLockedError
            If another process holds the store.
        UsageError
            If there is no store.
        """
        for name, value in (("thumbs", thumbs), ("db", db), ("config", config)):
            check_flag(name, value)
        if not Store.exists(self.saved_url):
            raise UsageError(f"no store at {self.saved_url}; there is nothing to clean up")
        with self.writing():
            self._comparison = None if db else self._comparison
            others = clean_store(self.saved_url, thumbs=thumbs, db=db, config=config)
            self._session.reload()
        if config and self._wrote_config:
            Path(str(self.settings.cfg_path)).unlink(missing_ok=True)
        print_left(self.saved_url, others, plots=db)

    # -- as Dask collections -----------------------------------------------------------------------------------------

    @property
    def images(self) -> "dd.DataFrame":
        """Metadata of the images, errors included, as a Dask DataFrame: one partition a block, indexed by number.

        After `inspect` it has the columns of its table as well.
        """
        from ..results.dask_collections import images_frame

        frame = images_frame(self.store)
        return frame if self._inspection is None else self._inspection.joined(frame)

    @property
    def thumbnails(self) -> "da.Array":
        """Thumbnails in the order of `images`: a Dask array (n, height, width, 3) uint8; 0 where there is an error."""
        from ..results.dask_collections import thumbnails_array

        store = self.store
        check_read(store)
        return thumbnails_array(store)

    def to_xarray(self) -> "xr.Dataset":
        """Thumbnails and metadata of the images as a Dataset of xarray, labelled by path, in the order of `images`.

        The thumbnails, (image, y, x, channel) uint8, and the metadata, such as width and camera, are Dask arrays, a
        chunk a block: nothing is read before it is asked for. Memory: the paths, some hundred bytes an image.

        Returns
        -------
        The Dataset. ``ds.thumbnail.sel(image=path)`` is one picture. Vectors of a name are ``ds["vectors_NAME"]``.

        Raises
        ------
        UsageError
            If xarray is not installed (``pip install 'fastdiff_dask[xarray]'``), or images were not read yet.
        """
        from ..results.collect import shown_paths
        from ..results.dask_collections import images_dataset

        store = self.store
        check_read(store)
        frame = store.read_images(["side", *FILE_NAME, "current"])
        return images_dataset(store, shown_paths(frame[frame.current], self.roots))

    def mse(self, *, rotations: bool = True, mirror: bool = False, persist: bool = False) -> "da.Array":
        """Exact MSE of all images with all, lazily, in the order of `images`.

        A Dask array (n, n) float64; NaN where there is an error. With two sides, those of side a in rows and those
        of side b in columns.

        Parameters
        ----------
        rotations, mirror
            Which transforms of an image count, see `CompareSettings`.
        persist
            Compute it now, into the store, chunk by chunk; chunks that are there already are not computed again. Takes
            8 bytes a pair on disk, before compression.

        Returns
        -------
        The matrix.
        """
        from ..results.dask_collections import mse_array, persist_mse

        store = self.store
        check_read(store)
        if not persist:
            return mse_array(store, rotations=rotations, mirror=mirror)
        with self.writing(), self._bar("mse", None, "chunks") as advance:
            try:
                return persist_mse(store, self.client, rotations=rotations, mirror=mirror, advance=advance)
            finally:
                self._session.save()


def list_removable(url: str, size: int, result: "Result") -> "pd.DataFrame":
    """List the images of a result that could be removed, by the default rules of `Project.plan`.

    Parameters
    ----------
    url
        Address of the store.
    size
        Pixels of the longer side of pictures that are looked at, at most.
    result
        A result of the store.

    Returns
    -------
    The table of the plan.
    """
    from ..actions.history import History
    from ..actions.removal_plan import plan_removals
    from ..results.second_look import look_again

    store = Store(url)
    plan = plan_removals(
        store,
        result,
        _keep_rules((), (), ()),
        history=History(),
        look=lambda result, ends: look_again(store, result, ends, size),
    )
    return plan.to_frame()


def _verdicts(verdict: str | Sequence[str]) -> tuple[str, ...]:
    return check_verdicts(names_of(verdict, "verdict", "verdict"))


def _keep_rules(keep: Keep, prefer: Directories, protect: Directories) -> "KeepRules":
    from ..results.keep_rules import KeepRules

    several = [keep] if isinstance(keep, str) or not isinstance(keep, Sequence) else list(keep)
    names_of([rule for rule in several if not callable(rule)], "keep", "rule")
    return KeepRules(rules=tuple(several), prefer=names_of(prefer, "prefer"), protect=names_of(protect, "protect"))
