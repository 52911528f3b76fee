"""Imports go one way, and the kernels need neither Dask nor Zarr."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fastdiff_dask

PACKAGE = Path(fastdiff_dask.__file__).parent
# each may import from those before it
LAYERS = [
    ["errors"],
    ["remote"],
    ["blas", "config", "functions", "gpu", "journals", "pixels", "probe", "resilience", "stopping"],
    ["images"],
    ["decoder", "roots", "trust"],
    [
        "components",
        "grid",
        "hashes",
        "merging",
        "readers",
        "metrics",
        "ordering",
        "shortcuts",
        "signatures",
        "files",
        "progress",
    ],
    [
        "actions",
        "activity",
        "copies",
        "integers",
        "locks",
        "measures",
        "pictures",
        "places",
        "search",
        "testing",
        "tilemap",
        "walk",
    ],
    ["device", "settings", "snapshot", "sorting", "store", "views"],
    ["asking", "batched", "cleaning", "saving"],
    ["cascade", "keeping", "remote_walk"],
    ["comparisons", "catalog", "cluster", "dense", "performance", "workers"],
    ["found_pairs", "monitor", "page_texts", "pairwise"],
    ["page", "planning", "thumbnails", "frames"],
    ["compare", "dashboard", "clusters", "estimate", "status", "transfer", "wanted"],
    ["origins", "results"],
    ["clients", "table", "hash_clusters", "plots", "state"],
    ["tables", "choosing", "showing"],
    ["sql", "applying", "decisions"],
    ["report"],
    ["export"],
    ["project"],
    ["difpy", "finding"],
    ["cli_difpy", "cli_actions"],
    ["cli"],
]
KERNELS = [
    "errors",
    "remote",
    "config",
    "grid",
    "pixels",
    "images",
    "decoder",
    "readers",
    "functions",
    "hashes",
    "metrics",
    "ordering",
    "signatures",
    "components",
    "batched",
    "cascade",
    "copies",
    "device",
    "integers",
    "measures",
    "search",
    "shortcuts",
    "sorting",
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def test_every_module_has_its_place():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"} == set(LEVEL)


@pytest.mark.parametrize("name", LEVEL)
def test_imports_go_one_way(name):
    tree = ast.parse((PACKAGE / f"{name}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
    assert all(LEVEL[other] < LEVEL[name] for other in imported if other)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_need_neither_dask_nor_zarr(name):
    code = f"import fastdiff_dask.{name}, sys; print({{'dask', 'distributed', 'zarr', 'cupy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there():
    assert all(getattr(fastdiff_dask, name) for name in fastdiff_dask.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fastdiff_dask.nothing
