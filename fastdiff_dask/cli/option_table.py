"""The table of all options in the manual, made from their declarations."""

import click

from ..compat.run_state import RunState
from ..project.options import NEEDLESS, Option, Settings, declarations
from .find import find

__all__ = ["option_table"]


def option_table() -> str:
    """Markdown of three tables: options that fast_diff_py has, options that are here alone, options without use."""
    settings = declarations(Settings)
    rows = {name: _row(name, field.default, option) for name, (field, option) in settings.items()}
    known = [
        f"| `{name}` | `db.config.{name}` | | {_first_line(value)} | |"
        for name, value in vars(RunState).items()
        if isinstance(value, property) and name not in settings and name != "images"
    ]
    head = ["| option | in Python | command line | what it does | default |", "|---|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(rows[name] for name, (_, option) in settings.items() if option.theirs),
            *known,
            "",
            "Here alone:",
            "",
            *head,
            *(rows[name] for name, (_, option) in settings.items() if not option.theirs),
            "",
            "Of no use here; `db.config` says so:",
            "",
            "| fast_diff_py | why |",
            "|---|---|",
            *(f"| `{name}` | {reason} |" for name, reason in NEEDLESS.items()),
            "",
        ]
    )


def _row(name: str, default: object, option: Option) -> str:
    call = "FastDifPy"
    if name.startswith(("fl_", "sl_", "similarity_")):
        call = "first_loop_iteration" if name.startswith("fl_") else "second_loop_iteration"
    flags = [
        f"`{max(param.opts, key=len)}`"
        for param in find.get_params(click.Context(find))
        if name in getattr(param, "fills", ())
    ]
    shown = option.shown_default or ("none" if default in (None, ()) else f"`{default}`")
    return f"| `{name}` | `{call}({option.argument or name}=)` | {', '.join(flags)} | {option.help} | {shown} |"


def _first_line(value: property) -> str:
    return str(value.__doc__).splitlines()[0].replace("|", "or")
