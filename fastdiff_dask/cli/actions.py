"""The commands ``apply`` and ``undo``: a table of what would happen, which ``--yes`` does; and ``decisions``."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..text import printable
from .sidecars import say_sidecars
from .store_argument import optional_store_argument, store_argument

if TYPE_CHECKING:
    from ..actions.action import Action
    from ..actions.decisions import Decisions
    from ..actions.journal import Journal
    from ..actions.removal_plan import RemovalPlan
    from ..actions.removals import Outcome
    from ..results.keep_rules import KeepRules
    from ..results.stored import StoredChoice
    from ..storage.store import Store

__all__ = ["apply", "decisions", "undo"]

_ACTIONS = "--move DIR, --copy DIR, --trash, --delete, --hardlink, --symlink or --exec COMMAND"


@click.command()
@store_argument
@click.option("--decisions", metavar="FILE", help="Do what was marked in the report, and nothing else.")
@click.option("--move", metavar="DIR", help="Move what may go to this folder.")
@click.option("--copy", metavar="DIR", help="Copy it to this folder; the images stay.")
@click.option("--keep-tree", is_flag=True, help="In that folder, keep the folders in which the images are.")
@click.option("--trash", is_flag=True, help="Move it to the trash.")
@click.option("--delete", is_flag=True, help="Delete it; there is no way back.")
@click.option("--hardlink", is_flag=True, help="Put a hard link to the image that is kept in its place.")
@click.option("--symlink", is_flag=True, help="Put a symbolic link to the image that is kept in its place.")
@click.option(
    "--exec",
    "command",
    metavar="COMMAND",
    help="Run this for each image; {} is its path, {keep} that of the kept one. No shell, and no way back.",
)
@click.option(
    "--keep",
    "rules",
    metavar="RULE",
    multiple=True,
    help="Keep most-pixels, fewest-pixels, largest, smallest, oldest, newest, oldest-taken, newest-taken, "
    "shortest-path, format=png,jpg, path=PATTERN, not-path=PATTERN, regex=REGEX or not-regex=REGEX; of several, the "
    "first counts most.  [default: with a date, most real pixels, least processed]",
)
@click.option("--like", metavar="FILE", help="Take only copies of this file, and the file itself.")
@click.option("--prefer", metavar="DIR", multiple=True, help="Keep what is in this folder; of several, in this order.")
@click.option("--protect", metavar="DIR", multiple=True, help="Touch nothing in this folder.")
@click.option(
    "--keep-metadata",
    is_flag=True,
    help="Copy capture date and GPS of a JPEG that goes into the one that is kept, where it has none.",
)
@click.option(
    "--threshold",
    type=float,
    help="Largest difference, or value, of a pair; default: that of the result that was shown last.",
)
@click.option("--comparison", metavar="NAME", help="Which comparison; default: that of the result that was shown last.")
@click.option(
    "--sidecars",
    type=click.Choice(["leave", "move"]),
    default="leave",
    help="move: .xmp, .aae, .json, .mov and the like go with their image; leave: they stay.  [default: leave]",
)
@click.option("--only-identical", is_flag=True, help="Take only files that are byte for byte the same as one kept.")
@click.option("--both-sides", is_flag=True, help="Of A against B, take images of A as well; else A is kept whole.")
@click.option(
    "--include",
    metavar="similar,edited",
    multiple=True,
    callback=lambda context, option, names: _included(names),
    help="Take as well: similar, images that a second look at both files did not find to be the same picture; "
    "edited, edited copies, each for the picture that shows all of it.",
)
@click.option(
    "--give-up",
    type=click.Choice(
        [
            "transparency",
            "more than 8 bits",
            "colour profile",
            "motion picture",
            "sound",
            "depth map",
            "layers",
            "more pixels",
        ]
    ),
    multiple=True,
    help="Take images that have this, for one that lacks it.",
)
@click.option("--yes", is_flag=True, help="Do it; without this, only say what would happen.")
@click.option("--yes-really", is_flag=True, help="Do it, even if that is most of the images or a whole folder.")
def apply(
    store: str,
    decisions: str | None,
    rules: tuple[str, ...],
    like: str | None,
    prefer: tuple[str, ...],
    protect: tuple[str, ...],
    keep_metadata: bool,
    threshold: float | None,
    comparison: str | None,
    sidecars: str,
    only_identical: bool,
    both_sides: bool,
    include: frozenset[str],
    give_up: tuple[str, ...],
    yes: bool,
    yes_really: bool,
    **named: Any,
) -> None:
    """Remove the duplicates that were found in STORE. For each, an image that is similar to it is kept.

    Both are read and compared again right before; a file that has changed stays. Moved, trashed and linked files can be
    brought back by undo. Without --yes nothing happens.
    """
    from ..actions.decisions import Decisions, read_decisions, remember_not_duplicates
    from ..actions.journal import journals
    from ..outputs.terminal import print_merged, print_outcomes
    from ..results.keep_rules import KeepRules
    from ..results.stored import choose_stored
    from ..storage.store import Store

    asked = _asked_action(named, {"keep_metadata": keep_metadata, "sidecars": sidecars})
    yes = yes or yes_really
    if yes and asked is None and decisions is None:
        raise UsageError(f"nothing is said to be done; use {_ACTIONS}")
    keep = KeepRules(rules=rules, prefer=prefer, protect=protect, both_sides=both_sides)
    opened = Store(store)
    if decisions is not None and (rules or prefer):
        raise UsageError("--decisions says what to keep; leave out --keep and --prefer")
    decided = Decisions() if decisions is None else read_decisions(opened, decisions)
    if threshold is None and comparison is None:
        threshold = decided.threshold  # another result may have been shown since
    chosen = choose_stored(opened, comparison, threshold)
    plan, passed = _print_plan(
        opened,
        chosen,
        keep,
        decided,
        asked,
        like,
        only_identical=only_identical,
        include_similar="similar" in include,
        include_edited="edited" in include,
        give_up=give_up,
    )
    say_sidecars([one.path for one in plan.chosen], None if asked is None else asked.name, sidecars)
    if yes and asked is not None and passed and not yes_really:
        _ask_again(len(plan.chosen))
    if decided.not_duplicates and yes:
        with Store.lock(opened.url):
            new = remember_not_duplicates(opened, decided.not_duplicates)
        click.echo(f"{new} pairs are remembered as no duplicates")
    if asked is None or not yes:
        _say_command(asked, plan)
        _say_what_would_happen(asked, yes, keep_metadata, bool(passed))
        return
    if asked.name == "delete":
        click.echo("What is deleted cannot be brought back.")
    done = _carry_out(opened, plan, asked, {"keep_metadata": keep_metadata, "sidecars": sidecars})
    if keep_metadata:
        for one in journals(opened.url)[-1:]:
            print_merged(one)
    print_outcomes(done, asked.name)


def _print_plan(
    store: "Store",
    chosen: "StoredChoice",
    keep: "KeepRules",
    decided: "Decisions",
    action: "Action | None",
    like: str | None,
    **options: Any,
) -> "tuple[RemovalPlan, list[str]]":
    """Make the removal plan and print it; gives it with the limits that it passes."""
    from ..actions.history import History
    from ..actions.removal_plan import limits_passed, plan_removals
    from ..config import VERIFY_SIZE
    from ..outputs.terminal import describe_shown, print_removal_plan
    from ..results.second_look import look_again
    from ..results.stored import remember_shown
    from ..storage.derived.verdicts import read_verdicts

    every = chosen.collect()
    result = every if like is None else every.like(like)
    plan = plan_removals(
        store,
        result,
        keep,
        decided,
        history=History(folder=None if action is None else action.folder),
        look=lambda result, ends: look_again(store, result, ends, VERIFY_SIZE),
        **options,
    )
    print_removal_plan(plan, "--only-identical")
    _say_of_similar(len(plan.only_similar), plan.only_edited)
    click.echo(f"Result: {describe_shown(plan.value, chosen.shown_at)}")
    if store.two_sides and not keep.both_sides:
        click.echo("A is the reference, and nothing in it goes: --both-sides takes from it as well.")
    if keep.both_sides and not store.two_sides:
        click.echo("--both-sides changes nothing: the images were not found as A against B.")
    passed = [] if action is not None and action.name == "copy" else limits_passed(store, plan)
    for limit in passed:
        click.echo(f"Look again: {limit}.")
    remember_shown(store.url, every.with_verdicts(read_verdicts(store)))
    return plan, passed


def _carry_out(store: "Store", plan: "RemovalPlan", action: "Action", options: dict[str, Any]) -> "list[Outcome]":
    """Carry a plan out under a progress bar."""
    from ..actions.apply import apply_plan
    from ..outputs.progress_bar import stage_bar

    done = []
    options |= {"keep_tree": action.keep_tree, "command": action.command or None}
    with stage_bar("apply", len(plan.chosen), "files") as advance:
        for outcome in apply_plan(store, plan, plan.value.settings, action.name, action.folder, **options):
            done.append(outcome)
            advance(outcome.sidecar_of is None)
    return done


def _ask_again(number: int) -> None:
    """Ask on a terminal for the number of files that go; elsewhere, refuse."""
    if not _on_terminal():
        raise UsageError(f"nothing was done: the plan takes {number} files, see above; --yes-really does it")
    if click.prompt(f"Type the number of files that go ({number}) to do it", default="", show_default=False) != str(
        number
    ):
        raise UsageError(f"nothing was done: that is not the number of files, {number}")


def _on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked_action(named: dict[str, Any], options: dict[str, Any]) -> "Action | None":
    """Check the one action that the options name; None if they name none."""
    from ..actions.action import check_action

    keep_tree, command = named.pop("keep_tree"), named.pop("command")
    given = {name: value for name, value in named.items() if value not in (None, False)}
    if command is not None:
        given["exec"] = command
    if len(given) > 1:
        one, other, *_ = given
        raise UsageError(f"--{one} and --{other} exclude each other; use one of them")
    if not given:
        if keep_tree:
            raise UsageError("--keep-tree is for --move and --copy; name a folder by one of them")
        return None
    ((name, value),) = given.items()
    if value == "":
        raise UsageError(f"--{name} has no {'command' if name == 'exec' else 'name of a folder'}; name one")
    folder = value if name in ("move", "copy") else None
    return check_action(name, folder, keep_tree=keep_tree, command=command, **options)


def _included(names: tuple[str, ...]) -> frozenset[str]:
    """Give the kinds of images that are to go as well; of several, each option may name some, with commas."""
    included = frozenset(name.strip() for text in names for name in text.split(","))
    if unknown := sorted(included - {"similar", "edited"}):
        raise UsageError(f"--include {printable(unknown[0])} is not known; use similar, edited or similar,edited")
    return included


def _say_of_similar(similar: int, edited: int) -> None:
    if similar:
        click.echo("--include similar takes them as well; look at them before: report --verdict similar shows them.")
    if edited:
        click.echo(
            f"{edited} edited {'copy stays' if edited == 1 else 'copies stay'}; --include edited takes them as well; "
            "look at them before: report shows them."
        )


def _say_command(action: "Action | None", plan: "RemovalPlan") -> None:
    """Show what would be run for the first image."""
    if action is not None and action.command and plan.chosen:
        from ..actions.files.commands import command_of

        first = plan.chosen[0]
        shown = shlex.join(command_of(action.command, os.path.abspath(first.path), os.path.abspath(first.kept)))  # noqa: PTH100
        click.echo(f"For the first of them: {printable(shown)}")


def _say_what_would_happen(action: "Action | None", yes: bool, keep_metadata: bool, beyond: bool) -> None:
    if keep_metadata:
        click.echo(
            "Before, date and GPS of a JPEG that goes are copied into the one that is kept, where it has none. "
            "undo does not take that back; where it cannot be done, both stay."
        )
    did = "No file was touched" if yes else "Nothing was done"
    what = _ACTIONS if action is None else f"--{action.name}"
    click.echo(f"{did}: this is what would happen. {what} and {'--yes-really' if beyond else '--yes'} does it.")
    if action is not None and action.name == "delete":
        click.echo("What is deleted cannot be brought back; --trash or --move can be undone.")
    if action is not None and action.name == "exec":
        click.echo("Nothing that the command does can be brought back by undo.")


@click.command()
@optional_store_argument
@click.option("--list", "listed", is_flag=True, help="List what can be undone, the newest first.")
@click.option("--journal", metavar="FILE", help="Undo this one of the list, and not the newest.")
@click.option("--yes", is_flag=True, help="Do it; without this, only say what would happen.")
def undo(store: str | None, listed: bool, journal: str | None, yes: bool) -> None:
    """Bring back the files that the last apply, of STORE if one is named, has moved, trashed or linked.

    The next undo does the same for the apply before it. Nothing is overwritten. Without --yes nothing happens.
    """
    from ..actions.journal import journals
    from ..actions.undo import undo as bring_back
    from ..outputs.terminal import describe_journal, print_outcomes, print_undo_plan

    if listed:
        known = journals(store)
        for one in reversed(known):
            click.echo(describe_journal(one))
        if not known:
            click.echo(f"There is nothing to undo{'' if store is None else f' of {store}'}.")
        return
    found = _newest(store, clear=yes) if journal is None else _named(journal, store)
    if found is None:
        return
    click.echo(describe_journal(found))
    if found.damaged:
        click.echo(f"{found.damaged} lines of it are damaged, and are left out")
    if yes:
        print_outcomes(list(bring_back(found)), "undo")
    else:
        print_undo_plan(found)
        click.echo("Nothing was done: --yes brings them back.")


def _newest(store: str | None, *, clear: bool) -> "Journal | None":
    """Find the newest journal of which something can be undone, and name those of which nothing can.

    None if there is no such journal, but something that a kill has left was cleared away.
    """
    from ..actions.journal import last_to_undo
    from ..actions.undo import clear_away
    from ..outputs.terminal import describe_journal

    found, hopeless = last_to_undo(store)
    for one in hopeless:
        click.echo(f"{describe_journal(one)}: what went is gone from there, or has changed")
    if found is None and clear and (count := clear_away()):
        click.echo(f"{count} files that a killed apply had left half done were cleared away, or have their name again")
        return None
    if found is None:
        where = "" if store is None else f" of {store}"
        raise UsageError(f"there is nothing to undo{where}; what was deleted, or is back already, is not counted")
    return found


def _named(name: str, url: str | None) -> "Journal":
    from ..actions.journal import journals

    for journal in journals(url):
        if journal.path.name == Path(name).name:
            return journal
    raise UsageError(f"{printable(name)} is no journal of something to undo; undo --list shows them")


@click.command()
@store_argument
@click.option("--forget", metavar="N", type=int, multiple=True, help="Take this one of the list back; may be repeated.")
@click.option("--forget-all", is_flag=True, help="Take all of them back.")
def decisions(store: str, forget: tuple[int, ...], forget_all: bool) -> None:
    """List the pairs of STORE that were decided to be no duplicates, and take such decisions back."""
    from ..actions.decisions import forget_not_duplicates, list_not_duplicates
    from ..outputs.terminal import describe_apart
    from ..storage.store import Store

    opened = Store(store)
    if not forget and not forget_all:
        for line in describe_apart(list_not_duplicates(opened)) if opened.records.read_not_duplicates() else ["none"]:
            click.echo(line)
        return
    with Store.lock(opened.url):
        pairs = opened.records.read_not_duplicates()
        wrong = [number for number in forget if not 1 <= number <= len(pairs)]
        if wrong:
            raise UsageError(
                f"no decision {wrong[0]} in the list, which has {len(pairs)}; without --forget it is shown"
            )
        taken = pairs if forget_all else [pairs[number - 1] for number in forget]
        click.echo(f"{forget_not_duplicates(opened, taken)} decisions were taken back")
