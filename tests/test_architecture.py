"""Rules of the house that import-linter cannot see; its contracts are in pyproject.toml, and CI runs them."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml

import fastdiff_dask

PACKAGE = Path(fastdiff_dask.__file__).parent
TESTS = Path(__file__).parent
ROOT = TESTS.parent
WINGS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
# Plain tables, which may be as long as they are.
TABLES: set[str] = set()


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
FUNCTIONS = [(name, node) for name, tree in MODULES.items() for node in ast.walk(tree) if isinstance(node, FUNCTION)]


@pytest.mark.parametrize("wing", WINGS, ids=name_of)
def test_a_wing_is_small_and_its_door_is_a_docstring(wing):
    assert len(list(wing.glob("[a-z]*.py"))) <= 17
    (only,) = MODULES[name_of(wing / "__init__.py")].body
    assert isinstance(only, ast.Expr)


@pytest.mark.parametrize(
    ("spelled", "room"),
    [(r"arrays\.zarr|images\.parquet|writer\.lock", "storage"), (r"(?<![\w(-])--[a-z]", "cli")],
    ids=["names on disk", "options of the command line"],
)
def test_what_is_spelled_in_one_wing_only(spelled, room):
    elsewhere = []
    for name, tree in MODULES.items():
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
        found = [node.value for node in texts if isinstance(node.value, str) and re.search(spelled, node.value)]
        elsewhere += [(name, text) for text in found if room not in name.split(".")]
    assert elsewhere == []


def test_no_function_is_long():
    long = []
    for module, function in FUNCTIONS:
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if body and body[-1].end_lineno - body[0].lineno >= 50:
            long.append(f"{module}.{function.name}")
    assert set(long) == TABLES


def test_docstrings_begin_with_a_noun_or_an_imperative():
    classes = [
        (name, node) for name, tree in MODULES.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    named = [*MODULES.items(), *classes, *FUNCTIONS]
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text())
        with_texts = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        named += [(str(path.relative_to(TESTS)), node) for node in ast.walk(tree) if isinstance(node, with_texts)]
    texts = [(name, ast.get_docstring(node)) for name, node in named]
    begun = re.compile(r"(What|Whether|Which|That|Where|So|Who|How|When|Why)\b")
    assert [(name, text.splitlines()[0]) for name, text in texts if text and begun.match(text)] == []


@pytest.mark.parametrize("wing", ["kernels", "images", "edits", "vectors"])
def test_a_process_of_kernels_or_pictures_loads_neither_dask_nor_zarr(wing):
    names = ", ".join(map(name_of, sorted((PACKAGE / wing).rglob("*.py"))))
    code = f"import {names}, sys; print({{'dask', 'distributed', 'zarr', 'cupy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there():
    assert all(getattr(fastdiff_dask, name) for name in fastdiff_dask.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fastdiff_dask.nothing


def test_the_installed_command_starts():
    """The entry point is as pip makes it: the wing's door has no `main`."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts
    for name, value in scripts.items():
        assert EntryPoint(name, value, "console_scripts").load()


def test_ci_runs_what_runs_before_a_commit():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [hook["entry"] for hook in local["hooks"] if not any(line.startswith(hook["entry"]) for line in lines)] == []


def test_what_contributors_are_told_to_change_is_there():
    _, places = (ROOT / ".github" / "CONTRIBUTING.md").read_text().split("## Where to add what")
    for place in places.strip().split("\n\n"):
        named = set(re.findall("`([^`]+)`", place))
        files = {text for text in named if "/" in text or "." in text}
        paths = [next(folder / text for folder in (PACKAGE, ROOT) if (folder / text).exists()) for text in files]
        content = "".join(path.read_text() for path in paths if path.is_file())
        assert [text for text in named - files if text not in content] == []
