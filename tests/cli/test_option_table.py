"""The table of options in the manual is the one that is made from the declarations."""

import re
from pathlib import Path

import click

import fastdiff_dask as fd
from fastdiff_dask.cli.find import find
from fastdiff_dask.cli.option_table import option_table
from fastdiff_dask.project.options import Settings, declarations


def test_the_page_has_the_table():
    page = Path(fd.__file__).parent / "guide" / "coming_from_fast_diff_py.md"
    assert page.read_text().endswith(option_table())


def test_each_setting_has_a_row_and_each_flag_of_a_setting_is_in_it():
    rows = [line for line in option_table().splitlines() if line.startswith("| `")]
    names = [re.match(r"\| `(\w+)`", row)[1] for row in rows]
    assert len(names) == len(set(names))
    assert declarations(Settings).keys() <= set(names)
    flags = {max(param.opts, key=len) for param in find.get_params(click.Context(find)) if getattr(param, "fills", ())}
    assert flags == set(re.findall(r"`(--[a-z-]+)`", "\n".join(rows)))
