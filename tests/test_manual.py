"""README and guide: the commands, programs, queries and links in them work, in the order in which they come."""

import json
import re
import shlex
import shutil
import sqlite3
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner
from distributed.cli import dask_scheduler

import fastdiff_dask as fd
from fastdiff_dask.actions.decisions import FORMAT
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.project.options import Settings
from fastdiff_dask.testing import simulate_images

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "fastdiff_dask" / "guide"
PAGES = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]
TEXTS = [*PAGES, *sorted(ROOT.glob("notebooks/*.ipynb"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# What is not run, by what is in it, and why; it is parsed instead.
NOT_RUN = {
    " --scheduler": "needs a scheduler; tests/runtime/test_tls.py has one",
    " --workers ": "starts processes; tests/runtime/test_signals.py does so",
    " --gpu": "needs a GPU",
    " --model ": "needs a model; tests/cli/test_encode.py has one",
    " --from vectors": "needs a file of vectors; tests/cli/test_encode.py has one",
    " --on ": "needs the vectors of a model; tests/cli/test_encode.py has them",
    "s3://": "needs an object store; tests/stages/test_remote.py has one",
    "mysql+pymysql://": "needs a database and someone who types the password; tests/outputs/test_sql.py has both",
    "fastdiff-dask dashboard ": "serves until Ctrl-C; tests/dashboard/test_page.py does so",
    "fastdiff-dask review ": "serves until Ctrl-C; tests/review has it",
    "--watch": "watches until Ctrl-C; tests/lookup/test_watch.py does so",
    "dask scheduler ": "serves until Ctrl-C",
    "python -m pip install ": "would change this environment",
    "python -m pytest": "is what runs this",
    "python tests/benchmarks/": "takes minutes; tests/test_benchmarks.py runs them over less",
}
# What ends with exit code 2 as nothing was done before, and says so.
REFUSED = {("README.md", "fastdiff-dask undo"): "there is nothing to undo"}


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def text_of(page: Path) -> str:
    """A page, or the Markdown cells of a notebook."""
    if page.suffix == ".md":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.M | re.S)]


def prose(page: Path) -> str:
    """The text without fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)


def paragraphs(page: Path) -> list[list[str]]:
    """Lines of each paragraph and of each item of a list; tables and headings are none."""
    found: list[list[str]] = [[]]
    for line in prose(page).splitlines():
        if not line.strip() or line.startswith(("#", "|")):
            found.append([])
        elif re.match(r" *([-*]|\d+\.) ", line):
            found.append([line])
        else:
            found[-1].append(line)
    return [lines for lines in found if lines]


def lines_of(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line.strip()]


COMMANDS = [
    (page, line) for page in PAGES for block in blocks(page) if block.language == "sh" for line in lines_of(block)
]


def reason_not_to_run(command: str) -> str | None:
    return next((reason for part, reason in NOT_RUN.items() if part in command), None)


def split_commands(line: str) -> list[list[str]]:
    return [shlex.split(command, comments=True) for command in line.split(" && ")]


def parse(words: list[str]) -> None:
    """See that a command that is not run has the options that it is given."""
    program, *arguments = words
    if program == "fastdiff-dask":
        command = commands.commands[arguments[0]]
        command.make_context(arguments[0], arguments[1:])
    elif words[:2] == ["dask", "scheduler"]:
        dask_scheduler.main.make_context("scheduler", words[2:])
    elif words[:4] == ["python", "-m", "pip", "install"]:
        assert set(re.findall(r"[\w]+", words[4])) <= PROJECT["optional-dependencies"].keys()
    elif words[0] == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    else:
        assert words == ["python", "-m", "pytest"]


class Place:
    """A home for the blocks of one page, with the folders and stores that they name."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.names = {"/mnt/camera": str(folder / "camera"), "FOLDER": str(folder / "Pictures" / "trip")}
        self.namespace: dict[str, Any] = {"__name__": "block"}
        self._make_pictures()
        # the store that find makes of itself: a folder with two stores would have to be named by one of them
        for name, place, store in (
            ("STORE", "Pictures", None),
            ("STORE_A", "Archive", "a"),
            ("STORE_B", "camera", "b"),
        ):
            if re.search(rf"\b{name}\b", text):
                self.names[name] = self._make_store(place, None if store is None else str(folder / store))
        for name in ("ca.pem", "cert.pem", "key.pem"):
            Path(name).touch()
        Path("truth.csv").write_text("a,b\nPictures/copy_00000.jpg,Pictures/picture_00000.jpg\n")
        Path("truth.json").write_text(json.dumps([["Pictures/copy_00000.jpg", "Pictures/picture_00000.jpg"]]))
        shutil.copy(self.folder / "Pictures" / "picture_00000.jpg", "new.jpg")
        # what the report exports if nothing is marked
        Path("decisions.json").write_text(json.dumps({"format": FORMAT, "marks": [], "not_duplicates": []}))

    def _make_pictures(self) -> None:
        for place, images, duplicates in (("Pictures", 4, 3), ("Pictures/trip", 2, 2), ("Archive", 3, 2)):
            seed = len(place)
            simulate_images(self.folder / place, images=images, duplicates=duplicates, size=(96, 64), seed=seed)
        shutil.copytree(self.folder / "Archive", self.folder / "camera")

    def _make_store(self, place: str, store: str | None) -> str:
        with fd.FastDifPy(self.folder / place, store=store, verbose=False) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration()
            return db.store_url

    def run(self, page: str, line: str) -> None:
        for words in split_commands(line):
            command = " ".join(words)
            if reason_not_to_run(f"{command} "):
                parse(words)
                continue
            assert words[0] == "fastdiff-dask", line
            arguments = [self.names.get(word, re.sub(r"^~", str(self.folder), word)) for word in words[1:]]
            done = CliRunner().invoke(commands, arguments)
            refused = REFUSED.get((page, command))
            if refused is not None:
                assert refused in str(done.exception)
                continue
            assert done.exit_code == 0, (line, done.output, done.exception)

    def run_queries(self, text: str) -> None:
        """Each query of a block over the database that was exported before."""
        database = sqlite3.connect("diff.db")
        try:
            rows = [database.execute(query).fetchall() for query in text.split(";") if query.strip()]
        finally:
            database.close()
        assert rows[0]
        assert rows[1]


@pytest.fixture
def place(request, tmp_path, client, monkeypatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Place(tmp_path, request.getfixturevalue("page").read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_everything_on_a_page_runs(page, place):
    for block in blocks(page):
        if block.language == "sh":
            for line in lines_of(block):
                place.run(page.name, line)
        elif block.language == "python":
            exec(compile(block.text, page.name, "exec"), place.namespace)
        elif block.language == "sql":
            place.run_queries(block.text)
        elif block.language == "toml":
            assert Settings.from_values(tomllib.loads(block.text)) != Settings()
        else:
            assert (page.name, block.language) == ("store.md", "")


@pytest.mark.parametrize("page", [GUIDE / "looking_and_removing.md"], ids=["a store"])
def test_the_files_of_a_store_are_those_that_its_page_lists(page, place):
    (listed,) = (block.text for block in blocks(GUIDE / "store.md") if not block.language)
    names = {name.partition("/")[0] for line in listed.splitlines() for name in line[:40].replace(",", " ").split()}
    assert {path.name for path in Path(place.names["STORE"]).iterdir()} <= names
    arrays = {path.name for path in Path(place.names["STORE"], "arrays.zarr").iterdir() if path.is_dir()}
    assert arrays <= set(re.findall(r"arrays\.zarr/(\w+)", listed))


@pytest.mark.parametrize("part", NOT_RUN)
def test_what_is_not_run_is_there(part):
    assert any(part in f" {line} " for line in COMMANDS)
    assert all((ROOT / name).is_file() for name in re.findall(r"tests/[\w/]+\.py", NOT_RUN[part]))


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_paragraphs_are_short(page):
    assert [lines[0] for lines in paragraphs(page) if len(lines) > 6] == []
    long = [line for line in text_of(page).splitlines() if len(line) > 120 and not line.startswith(("|", "!["))]
    assert long == []


def anchors(page: Path) -> set[str]:
    """Names of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), link
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_each_page_is_linked():
    for index in (ROOT / "README.md", GUIDE / "README.md"):
        linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([\w/.]+\.md)\)", index.read_text())}
        assert linked >= set(PAGES) - {ROOT / "README.md", GUIDE / "README.md"}


OPTIONS = {
    option
    for command in commands.commands.values()
    for parameter in command.get_params(click.Context(command))
    if isinstance(parameter, click.Option)
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {"--help"}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_names_in_the_text_exist(page):
    code = re.findall(r"`([^`]+)`", prose(page))
    theirs = {"--dry-run"} if page.stem == "coming_from_czkawka" else {"--check"}  # the latter of simulate.py
    named = {option for text in code for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)}
    assert named <= OPTIONS | theirs
    for text in code:
        for name in re.findall(r"\w+\.py\b", text):
            assert (ROOT / "tests" / "benchmarks" / name).is_file(), text
        for name in re.findall(r"\bdb\.(\w+)", text):
            assert hasattr(fd.FastDifPy, name), text
        for name in re.findall(r"\bfd\.(\w+)", text):
            assert name in fd.__all__, text
        for name in re.findall(r"pip install '\.\[(\w+)\]'", text):
            assert name in PROJECT["optional-dependencies"], text
