"""The manual: Markdown pages in the folder ``guide`` of the package, one a subject, on a terminal or plain."""

import difflib
import re
from functools import cached_property
from importlib import resources

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.text import Text

from ..errors import UsageError
from ..text import printable

__all__ = ["Page", "find_page", "guide_pages", "print_page", "print_subjects"]

_FOLDER = resources.files(__package__.partition(".")[0]) / "guide"
_INDEX = "README.md"
# A link of the index to a page; a picture; any link, and one to a place that a terminal cannot go to.
_PAGE_LINK = re.compile(r"\]\((\w+)\.md\)")
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n+", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")


class _WholeTable(TableElement):
    """A table that folds its cells where it is too wide, and cuts none."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                for column in table.columns:
                    column.overflow = "fold"
            yield table


class _Page(Markdown):
    elements = Markdown.elements | {"table_open": _WholeTable}


class Page:
    """A page of the guide.

    Attributes
    ----------
    subject
        Its name for the command line: the name of the file, with dashes.
    """

    def __init__(self, stem: str) -> None:
        self.subject = stem.replace("_", "-")
        self._file = _FOLDER / f"{stem}.md"

    @cached_property
    def text(self) -> str:
        """The page as Markdown."""
        return self._file.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """The first heading."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def summary(self) -> str:
        """The first sentence."""
        paragraph = " ".join(self.text.split("\n\n")[1].split())
        sentence = re.split(r"(?<=\.)\s", paragraph, maxsplit=1)[0]
        return re.sub(r"[*`]", "", _LINK.sub(r"\1", sentence))


def guide_pages() -> list[Page]:
    """All pages, in the order of the index."""
    return [Page(stem) for stem in dict.fromkeys(_PAGE_LINK.findall((_FOLDER / _INDEX).read_text(encoding="utf-8")))]


def find_page(subject: str) -> Page:
    """Find the page of a subject, named with dashes or underscores, in any case.

    Raises
    ------
    UsageError
        If there is no such page; the message has names like it.

    Examples
    --------
    >>> find_page("Tables_and_SQL").title
    'Tables and SQL'
    """
    pages = {page.subject: page for page in guide_pages()}
    name = subject.lower().removesuffix(".md").replace("_", "-")
    if name in pages:
        return pages[name]
    near = [known for known in pages if name and name in known] or difflib.get_close_matches(name, pages, 3, 0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"the guide has no page {printable(subject)!r}; {hint}there are {', '.join(pages)}")


def print_subjects() -> None:
    """Print a line for each page: its subject, its title and its first sentence."""
    pages = guide_pages()
    width = max(len(page.subject) for page in pages)
    for page in pages:
        line = Text(f"{page.subject:<{width}}  {page.title}. {page.summary}")
        line.stylize("bold", 0, width)
        _console().print(line, no_wrap=True, overflow="ellipsis")


def print_page(page: Page) -> None:
    """Print a page: rendered on a terminal, as it is in a file or a pipe."""
    console = _console()
    if not console.is_terminal:
        print(page.text, end="")
        return
    console.print(_Page(_RELATIVE_LINK.sub(r"\1", _PICTURE.sub("", page.text))))


def _console() -> Console:
    """The terminal; a file has no width to cut or fold lines at."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=10_000)
