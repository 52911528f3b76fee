"""What import-linter cannot see of the house; its contracts are in pyproject.toml, and CI runs them."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import fastdiff_dask

PACKAGE = Path(fastdiff_dask.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
WINGS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


KERNELS = [name_of(path) for wing in ("kernels", "images") for path in sorted((PACKAGE / wing).glob("[a-z]*.py"))]


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_a_wing_is_small_and_its_door_is_a_docstring(wing):
    assert len(list(wing.glob("[a-z]*.py"))) <= 17
    (only,) = ast.parse((wing / "__init__.py").read_text()).body
    assert isinstance(only, ast.Expr)


@pytest.mark.parametrize(
    ("text", "room"),
    [("arrays.zarr", "storage"), ("images.parquet", "storage"), ("writer.lock", "storage"), ("--", "cli")],
)
def test_what_is_spelled_in_one_wing_only(text, room):
    """Names on disk in `storage`, options of the command line in `cli`."""
    elsewhere = []
    for path in MODULES:
        if room in path.relative_to(PACKAGE).parts:
            continue
        tree = ast.parse(path.read_text())
        texts = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
        }
        found = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
        elsewhere += [
            f"{name_of(path)}: {node.value}" for node in found if text in node.value and id(node) not in texts
        ]
    assert elsewhere == []


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_need_neither_dask_nor_zarr(name):
    code = f"import {name}, sys; print({{'dask', 'distributed', 'zarr', 'cupy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there():
    assert all(getattr(fastdiff_dask, name) for name in fastdiff_dask.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fastdiff_dask.nothing


def test_the_installed_command_starts():
    """What pip makes of the entry point: the wing's door has no `main`."""
    scripts = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts
    for name, value in scripts.items():
        assert EntryPoint(name, value, "console_scripts").load()
