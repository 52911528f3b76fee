"""The docstring of the wing names functions of the whole package; they are there."""

import re
from importlib import import_module

import pytest

from fastdiff_dask import stages

NAMES = re.findall(r"`(\w+\.\w+\.[\w.]+)`", stages.__doc__ or "")


def test_the_journey_names_functions():
    assert len(NAMES) > 30


@pytest.mark.parametrize("name", NAMES)
def test_what_the_journey_names_is_there(name):
    wing, module, *rest = name.split(".")
    found = import_module(f"fastdiff_dask.{wing}.{module}")
    for part in rest:
        found = getattr(found, part)
    assert callable(found)
