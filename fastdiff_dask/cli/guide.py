"""The command ``guide``: the manual, a page a subject."""

import click

__all__ = ["guide"]


@click.command()
@click.argument("subject", required=False)
def guide(subject: str | None) -> None:
    """Show the manual: the page of SUBJECT, or without one a list of the subjects."""
    from ..outputs.guide import find_page, print_page, print_subjects

    if subject is None:
        print_subjects()
    else:
        print_page(find_page(subject))
