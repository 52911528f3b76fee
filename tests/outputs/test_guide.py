"""The guide on a terminal and in a pipe; its texts are tested in test_manual.py."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import fastdiff_dask
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.errors import UsageError
from fastdiff_dask.outputs import guide
from fastdiff_dask.outputs.guide import find_page, guide_pages, print_page

FOLDER = Path(fastdiff_dask.__file__).parent / "guide"


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(commands, ["guide", *arguments])
    assert done.exit_code == 0, done.exception
    return done.output


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns."""
    console = Console(force_terminal=True, width=80, record=True, color_system=None)
    monkeypatch.setattr(guide, "Console", lambda **_: console)
    return console


def test_without_a_subject_a_line_for_each_page():
    lines = shown().splitlines()
    files = {path.stem.replace("_", "-") for path in FOLDER.glob("*.md")} - {"README"}
    assert {line.split()[0] for line in lines} == files
    assert len(lines) == len(files)
    thresholds = next(line for line in lines if line.startswith("thresholds"))
    assert thresholds.split("  ")[-1].strip() == (
        "Thresholds and what they mean. Every image becomes a thumbnail of 64 × 64 pixels."
    )
    assert all(line.endswith(".") and not set("*`[") & set(line) for line in lines)


def test_lines_fit_a_terminal(terminal, capsys):
    guide.print_subjects()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(guide_pages())
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("name", ["looking-and-removing", "looking_and_removing", "Looking_And-Removing.md"])
def test_a_page_in_a_pipe_is_the_file(name):
    assert shown(name) == (FOLDER / "looking_and_removing.md").read_text()


@pytest.mark.parametrize("page", guide_pages(), ids=lambda page: page.subject)
def test_each_page_on_a_terminal(page, terminal, capsys):
    print_page(page)
    text = capsys.readouterr().out
    assert page.title in text
    assert "```" not in text
    assert "](" not in text
    assert "|---" not in text
    assert ".png)" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("page", guide_pages(), ids=lambda page: page.subject)
def test_no_table_is_cut(page, width, monkeypatch, capsys):
    console = Console(force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(guide, "Console", lambda **_: console)
    print_page(page)
    assert "…" not in page.text
    assert "…" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sql", "the guide has no page 'sql'; did you mean tables-and-sql?"),
        ("looking-removing", "the guide has no page 'looking-removing'; did you mean looking-and-removing?"),
        ("coming", "did you mean coming-from-fast-diff-py or coming-from-difpy"),
        ("../README", "there are words, finding, thresholds, "),
        ("", "there are words, finding, thresholds, "),
    ],
)
def test_a_wrong_subject(name, message):
    with pytest.raises(UsageError) as refused:
        find_page(name)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(CliRunner().invoke(commands, ["guide", name]).exception, UsageError)


def test_help_mentions_it():
    assert re.search(r"^  guide +show the manual", CliRunner().invoke(commands, ["--help"]).output, re.M)
