"""A command with many options: they are in groups in ``--help``, and are made when the command is called."""

from typing import Any

import click

__all__ = ["GroupedCommand"]


class GroupedCommand(click.Command):
    """A command with the named options.

    Parameters
    ----------
    *args
        As for `click.Command`.
    options
        Names of the options, see `options.make_options`, in the order of ``--help``.
    **more
        As for `click.Command`.
    """

    def __init__(self, *args: Any, options: tuple[str, ...], **more: Any) -> None:
        super().__init__(*args, **more)
        self._names = options

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Make the options, at the first call, and give all parameters."""
        if self._names:
            # their declarations take ten milliseconds, which the list of commands need not wait for
            from ..options import make_options

            self.params += make_options(self._names)
            self._names = ()
        return super().get_params(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each under the heading of its group."""
        from ...project.options import GROUPS

        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, "More")}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups[getattr(param, "group", "More")].append(record)
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)
