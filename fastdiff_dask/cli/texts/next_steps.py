"""The commands that come after find, with what each would free."""

import shlex
from typing import TYPE_CHECKING

from ...errors import FastDiffError
from ...text import counted, file_size

if TYPE_CHECKING:
    from ...project.project import Project
    from ...results.result import Result

__all__ = ["next_steps"]

# Pairs up to which a plan takes less than a second, and images up to which the limits of one do.
_FEW = 100_000


def next_steps(project: "Project", result: "Result") -> list[tuple[str, str]]:
    """Give commands to copy, each with its purpose; none if nothing was found."""
    if not result.clusters and not len(result.edited):
        return []
    where = _name_of_store(project)
    return [
        (f"fastdiff-dask review {where}", "look at the groups, mark, and move to the trash"),
        (f"fastdiff-dask report {where}", "the same groups as one file, to send or to keep"),
        (f"fastdiff-dask apply {where} --trash", _purpose_of_apply(project, result)),
    ]


def _name_of_store(project: "Project") -> str:
    """Name the store by the folders that were searched, if they lead to it alone; else by its address."""
    from ...project.locations import store_of

    folders = [root.given for root in project.roots]
    try:
        if store_of(folders) == project.saved_url:
            return shlex.join(folders)
    except FastDiffError:
        pass
    return shlex.quote(project.saved_url)


def _purpose_of_apply(project: "Project", result: "Result") -> str:
    """Tell how many images `apply` would take by its usual rules, and their bytes."""
    from ...config import NOT_LOOKED_AT, VERDICT_NAMES

    if result.pair_count > _FEW or not len(result.verdicts.verdicts):
        return "list what could be removed; --yes does it"
    from ...actions.history import History
    from ...actions.removal_plan import limits_passed, plan_removals
    from ...results.keep_rules import KeepRules
    from ...storage.store import Store

    store = Store(project.saved_url)
    plan = plan_removals(store, result, KeepRules(), history=History(), look=lambda same, _: same)
    if not plan.chosen:
        return "nothing is proved to be a copy; lists what is only similar"
    # apply looks at pairs that were not looked at yet, as another pair was enough to connect them
    least = "at least " if result.verdict_counts.get(VERDICT_NAMES[NOT_LOOKED_AT]) else ""
    copies = f"{least}{counted(len(plan.chosen), 'copy')} of {file_size(plan.size)}"
    # of more images, the look at all their folders would be felt; apply itself looks in any case
    if result.files["compared"] <= _FEW and limits_passed(store, plan):
        return f"list {copies}, all of a folder or of most; --yes-really moves them to the trash"
    return f"list {copies}; --yes moves them to the trash"
