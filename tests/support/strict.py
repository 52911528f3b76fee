"""A stand-in for CuPy's arrays: NumPy inside, but nothing becomes a NumPy array unless that is asked for.

As with CuPy, `numpy.asarray` of such an array, a NumPy function of it, and an operation of it with an array of NumPy
are errors; a bool, int or float of it is a wait for the device, and is counted, as is a result whose size depends on
its values.
"""

from types import SimpleNamespace

import array_api_compat.numpy as compat
import numpy as np

from fastdiff_dask.kernels.device import Device

SEEN = SimpleNamespace(to_device=0, to_host=0, waits=0, launches=0)


def _inner(value):
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("an array of NumPy where one of the device is wanted")
    if isinstance(value, Strict):
        return value._values
    if isinstance(value, list | tuple):
        return type(value)(map(_inner, value))
    return value


def _outer(value):
    if isinstance(value, np.ndarray | np.generic):
        return Strict(np.asarray(value))
    if isinstance(value, list | tuple):
        return type(value)(map(_outer, value))
    return value


class _Namespace:
    """`array_api_compat.numpy`, of such arrays."""

    __name__ = "strict"

    def __getattr__(self, name):
        found = getattr(compat, name)
        if isinstance(found, type) or not callable(found):
            return found

        def call(*arguments, **options):
            out = options.get("out")
            SEEN.launches += 1
            SEEN.waits += name == "nonzero"  # how many there are is not known before
            result = found(*map(_inner, arguments), **{key: _inner(value) for key, value in options.items()})
            return out if out is not None else _outer(result)

        return call


NAMESPACE = _Namespace()


class Strict:
    """An array of the device."""

    __array_priority__ = 1000
    __array_ufunc__ = None

    def __init__(self, values):
        self._values = values

    def __array_namespace__(self, api_version=None):
        return NAMESPACE

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion to an array of NumPy")

    def __bool__(self):
        SEEN.waits += 1
        return bool(self._values)

    def __int__(self):
        SEEN.waits += 1
        return int(self._values)

    def __float__(self):
        SEEN.waits += 1
        return float(self._values)

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else [key]
        SEEN.waits += any(isinstance(part, Strict) and part.dtype.kind == "b" for part in parts)
        return _outer(self._values[_inner(key)])

    def __setitem__(self, key, value):
        self._values[_inner(key)] = _inner(value)

    @property
    def shape(self):
        return self._values.shape

    @property
    def dtype(self):
        return self._values.dtype

    @property
    def nbytes(self):
        return self._values.nbytes

    @property
    def ndim(self):
        return self._values.ndim

    @property
    def size(self):
        return self._values.size

    @property
    def T(self):  # noqa: N802 - its name
        return Strict(self._values.T)

    def tolist(self):
        SEEN.waits += 1
        return self._values.tolist()

    def transpose(self, *axes):
        return Strict(self._values.transpose(*axes))

    def view(self, dtype):
        return Strict(self._values.view(dtype))

    def max(self, *arguments, **options):
        return _outer(self._values.max(*arguments, **options))


def _operator(name):
    def operate(self, other):
        result = getattr(self._values, name)(_inner(other))
        if name.startswith("__i") and name not in ("__invert__",):
            self._values = result
            return self
        return _outer(result)

    return operate


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
):
    for _form in ("__{}__", "__r{}__", "__i{}__"):
        if hasattr(np.ndarray, _form.format(_name)):
            setattr(Strict, _form.format(_name), _operator(_form.format(_name)))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Strict, f"__{_name}__", _operator(f"__{_name}__"))
Strict.__hash__ = None
Strict.__neg__ = lambda self: _outer(-self._values)
Strict.__invert__ = lambda self: _outer(~self._values)


class OutOfMemoryError(Exception):
    """As CuPy's."""


class BrokenError(Exception):
    """As CUDA's."""


class StrictDevice(Device):
    """A device with such arrays."""

    is_gpu = True

    def to_device(self, values):
        SEEN.to_device += 1
        assert isinstance(values, np.ndarray)
        return Strict(np.array(values))

    def to_host(self, values):
        SEEN.to_host += 1
        assert isinstance(values, Strict)
        return np.array(values._values)

    def is_short_of_memory(self, error):
        return isinstance(error, OutOfMemoryError)

    def is_broken(self, error):
        return isinstance(error, BrokenError)
