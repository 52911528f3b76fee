"""Functions of the user: their names in the store, and a check that they can be sent to workers."""

import copyreg
import functools
import hashlib
import inspect
import pickle
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UsageError
from .text import one_line

__all__ = ["check_sendable", "function_name", "shown_name"]


def function_name(function: Callable[..., Any], *others: Callable[..., Any]) -> str:
    """Name a function for the store: different functions differently, and the same function alike in every process.

    Parameters
    ----------
    function
        The function.
    *others
        Functions that belong to it: another one of them is another name.

    Returns
    -------
    The name.

    Examples
    --------
    >>> function_name(len) == function_name(len) != function_name(max)
    True
    """
    digest = hashlib.sha256()
    known: dict[int, Any] = {}
    for one in (function, *others):
        for part in _identity(one, known):
            digest.update(part.encode() + b"\0")
    name = re.sub(r"[^0-9A-Za-z_.]+", "_", _name(function)).strip("_.")[-80:]
    return f"{name}-{digest.hexdigest()[:16]}"


def shown_name(name: str) -> str:
    """Give the part for people of a name that `function_name` made.

    Examples
    --------
    >>> shown_name(function_name(len))
    'builtins.len'
    """
    return name.rpartition("-")[0] or name


def check_sendable(function: Callable[..., Any], role: str) -> None:
    """Refuse a function that workers cannot have.

    Raises
    ------
    UsageError
        If it cannot be pickled; the message names it by its role, such as "hash function".
    """
    import cloudpickle

    try:
        cloudpickle.dumps(function)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise UsageError(
            f"{role} {shown_name(function_name(function))} cannot be sent to the workers ({one_line(error, 200)}); let "
            f"it use no open files, locks or connections"
        ) from None


def _name(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__ or ''}.{named.__qualname__}"


def _identity(value: Any, known: dict[int, Any], around: tuple[int, ...] = ()) -> Iterator[str]:
    """Describe a function so that another one of the same name differs: its source, and the values that it uses.

    Its file, line and address do not count, since they change from one kernel of a notebook to the next. Code of
    installed packages counts by its name.

    Parameters
    ----------
    value
        The function, or a value that it uses.
    known
        Functions, classes and modules that were described already, by identity. They stay alive here, because Python
        gives the identity of an object that is gone to another one.
    around
        Identities of the objects that the value is part of.

    Yields
    ------
    Parts of the description.
    """
    if value is None or value is Ellipsis or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        yield f"{type(value).__name__} {value!r}"
        return
    if isinstance(value, types.FunctionType | type | types.ModuleType):
        yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"
        if id(value) not in known and not isinstance(value, types.ModuleType):
            known[id(value)] = value
            if not _is_installed(value):
                yield from _code_identity(value, known)
        return
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()}"
        return
    if id(value) in around:
        yield f"itself, {len(around) - around.index(id(value))} above"
        return
    around = (*around, id(value))
    yield f"{type(value).__name__}("
    if isinstance(value, types.CodeType):
        yield value.co_code.hex()
        parts: Any = (value.co_consts, value.co_names, value.co_varnames)
    elif isinstance(value, tuple | list):
        parts = value
    elif isinstance(value, dict):
        parts = [part for item in value.items() for part in item]
    elif isinstance(value, set | frozenset):  # in an order that is the same in every process
        parts = sorted("\0".join(_identity(item, known, around)) for item in value)
    elif isinstance(value, partial):
        parts = (value.func, value.args, value.keywords)
    elif isinstance(value, types.MethodType):
        parts = (value.__func__, value.__self__)
    elif isinstance(value, np.ufunc):
        parts = (value.__name__,)
    else:
        parts = _reduced(value)
    for part in parts:
        yield from _identity(part, known, around)
    yield ")"


def _code_identity(value: Any, known: dict[int, Any]) -> Iterator[str]:
    """Describe a function or class of the user by its source and the values that it uses."""
    if isinstance(value, type):
        yield _source(value)
        for base in value.__bases__:
            yield from _identity(base, known)
        for part in vars(value).values():
            function = part.__func__ if isinstance(part, staticmethod | classmethod) else part
            if isinstance(function, types.FunctionType):
                yield from _identity(function, known)
        return
    source = "" if value.__name__ == "<lambda>" else _source(value)  # a line may have several of them
    if source:
        yield source
    else:
        yield from _identity(value.__code__, known)
    for part in (value.__defaults__, value.__kwdefaults__):
        yield from _identity(part, known)
    for cell in value.__closure__ or ():
        try:
            yield from _identity(cell.cell_contents, known)
        except ValueError:
            yield "empty"  # of a function that is not defined yet
    for name in _global_names(value.__code__):
        if name in value.__globals__:
            yield name
            yield from _identity(value.__globals__[name], known)


def _reduced(value: Any) -> Any:
    """Parts that pickle would store of an object; none if it cannot be pickled."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = reduce(value) if reduce is not None else value.__reduce_ex__(4)
    except Exception:  # of any kind: locks, open files and connections do not describe the function
        return ()
    if isinstance(reduced, str):
        return (reduced,)
    return [list(part) if isinstance(part, Iterator) else part for part in reduced]


def _is_installed(value: Any) -> bool:
    """Tell if a function or class belongs to Python or an installed package."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    return file is None or any(Path(file).is_relative_to(folder) for folder in _package_folders())


@functools.cache
def _package_folders() -> frozenset[str]:
    return frozenset(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
