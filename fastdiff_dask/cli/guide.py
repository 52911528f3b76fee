"""The commands that help to use the others: ``guide``, the manual, a page a subject; and ``completion``."""

import click

__all__ = ["completion", "guide"]

_NAME, _VARIABLE = "fastdiff-dask", "_FASTDIFF_DASK_COMPLETE"


@click.command()
@click.argument("subject", required=False)
def guide(subject: str | None) -> None:
    """Show the manual: the page of SUBJECT, or without one a list of the subjects."""
    from ..outputs.guide import find_page, print_page, print_subjects

    if subject is None:
        print_subjects()
    else:
        print_page(find_page(subject))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and folders."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    root = click.get_current_context().find_root().command
    # not `source`, which looks for the version of bash: the script may be for another machine
    script = kind(root, {}, _NAME, _VARIABLE)
    click.echo(script.source_template % script.source_vars())
