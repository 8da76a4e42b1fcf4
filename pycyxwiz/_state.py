"""Objects whose tensors programs may read and write: the base of layers and optimizers.

A ``Stateful`` object keeps the tensors that are assigned to its attributes in its ``Values``.
Reading or writing such an attribute asks this thread's innermost open ``Scope`` first, which is how

- ``cx.compile`` finds the weights that a function uses, be they arguments or reached through a
  closure or a global: reading one while tracing makes it an input of the Program, writing one makes
  it an output;
- ``cx.grad`` lets a function see watched weights without touching the layer.

A scope that ends with an exception leaves every object as it was.
"""

from __future__ import annotations

from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from pycyxwiz import _core, devices
from pycyxwiz._config import Configured, is_storable
from pycyxwiz._core import Tensor, TracingError

if TYPE_CHECKING:
    from contextvars import Token

    from typing_extensions import Self

    from pycyxwiz._core import Device

    Reference = tuple["Values", str]

_clock = count(1)
_PLAIN = (type(None), bool, int, float, str)
_MISSING: Any = object()
_FLOATING = (_core.float32, _core.float64)


class Values(dict[str, Any]):
    """The tensors of an object by attribute name, and the numbers that programs take as inputs.

    ``stamp`` is unique in the process and changes whenever a program made from the object would no
    longer be right: not when a value changes, but when a shape, a dtype, a name or a plain
    attribute does.
    """

    __slots__ = ("born", "stamp")

    def __init__(self) -> None:
        self.born = self.stamp = next(_clock)

    def touch(self) -> None:
        self.stamp = next(_clock)

    def put(self, name: str, value: Any) -> None:
        """Stores a value, whatever scope is open."""
        old = self.get(name)
        self[name] = value
        if isinstance(old, Tensor) and isinstance(value, Tensor):
            same = old.shape == value.shape and old.dtype == value.dtype
            if not same or old.device != value.device:
                self.touch()
        elif type(old) is not float or type(value) is not float:
            self.touch()


class Scope:
    """What reading and writing attributes means on this thread while it is open."""

    outer: Scope | None

    def __enter__(self) -> Self:
        self.outer = _scope.get()
        self.born = next(_clock)
        self._token: Token[Scope | None] = _scope.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _scope.reset(self._token)
        if kind is None:
            self.commit()

    def read(self, values: Values, name: str) -> Any:
        raise NotImplementedError

    def write(self, values: Values, name: str, value: Any) -> None:
        raise NotImplementedError

    def visit(self, values: Values) -> None:
        """Tells that the result depends on the object's plain attributes."""

    def commit(self) -> None:
        """Called when the scope ends without an exception."""


_scope: ContextVar[Scope | None] = ContextVar("pycyxwiz_scope", default=None)
current_scope = _scope.get


def read(values: Values, name: str) -> Any:
    """The value of an attribute as this thread sees it, or None."""
    scope = _scope.get()
    return values.get(name) if scope is None else scope.read(values, name)


def write(values: Values, name: str, value: Any) -> None:
    """Sets the value of an attribute as this thread sees it."""
    scope = _scope.get()
    # What was made inside the scope is nobody else's yet.
    if scope is None or values.born > scope.born:
        values.put(name, value)
    else:
        scope.write(values, name, value)


class Overlay(Scope):
    """Shows other values for some attributes; what is written is handed outwards at the end."""

    def __init__(self) -> None:
        self._shown: dict[tuple[int, str], Any] = {}
        self._written: dict[tuple[int, str], Reference] = {}

    def show(self, reference: Reference, value: Tensor) -> None:
        values, name = reference
        self._shown[id(values), name] = value

    def read(self, values: Values, name: str) -> Any:
        shown = self._shown.get((id(values), name))
        if shown is not None:
            return shown
        return values.get(name) if self.outer is None else self.outer.read(values, name)

    def write(self, values: Values, name: str, value: Any) -> None:
        self._shown[id(values), name] = value
        self._written[id(values), name] = (values, name)

    def visit(self, values: Values) -> None:
        if self.outer is not None:
            self.outer.visit(values)

    def commit(self) -> None:
        for key, (values, name) in self._written.items():
            write(values, name, self.handed_out(self._shown[key]))

    def handed_out(self, value: Any) -> Any:
        return value


class Stateful(Configured):
    """An object that keeps tensors in its attributes.

    ``untracked`` names plain attributes that no computation depends on: setting them keeps the
    programs that were compiled from the object.
    """

    untracked: ClassVar[frozenset[str]] = frozenset()
    _values: Values

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls, *args, **kwargs)
        self.__dict__["_values"] = Values()
        return self

    def __getattr__(self, name: str) -> Any:
        # Python comes here for what is not among the plain attributes.
        value = read(self.__dict__["_values"], name)
        if value is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        values = self._values
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Tensor):
            if getattr(type(self), name, _MISSING) is not _MISSING:
                raise AttributeError(
                    f"{name!r} is defined in the class {type(self).__name__}, where it would hide "
                    "the tensor: choose another name"
                )
            write(values, name, value)
            self.__dict__.pop(name, None)
            return
        values.pop(name, None)
        old = self.__dict__.get(name, _MISSING)
        if is_storable(value):
            self._given.first.setdefault(name, value)
        object.__setattr__(self, name, value)
        same = type(old) is type(value) and type(value) in _PLAIN and old == value
        if not same and name not in self.untracked:
            values.touch()

    def __delattr__(self, name: str) -> None:
        if self._values.pop(name, None) is None:
            object.__delattr__(self, name)
        self._values.touch()

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def _argument_now(self, name: str, given: Any) -> Any:
        # An attribute that the constructor set to its argument stands for it ever after, so that
        # `dropout.rate = 0.3` is seen and saved. One that it computed from the argument does not.
        now = self.__dict__.get(name, _MISSING)
        if not (is_storable(now) and is_storable(given)):
            return given
        return now if self._given.first.get(name, _MISSING) == given else given

    def members(self) -> list[Stateful]:
        """The object itself and those below it."""
        return [self]

    def to(self, device: str | Device) -> Self:
        """Moves every tensor of it to a device, in place; returns the object itself.

        Raises ``DeviceError`` for a device that isn't there.

        >>> layer = cx.layers.Dense(2, 3).to("cpu")
        >>> print(layer.state()["weight"].device)
        cpu
        """
        there = devices.get_device(device)
        for member in self.members():
            values = member._values
            for name, value in list(values.items()):
                if isinstance(value, Tensor) and value.device != there:
                    values.put(name, value.to(there))
        return self

    def parameter_references(self) -> dict[str, Reference]:
        """Where the tensors are that derivatives are taken to, by name."""
        raise TypeError(f"{type(self).__name__} has no parameters to differentiate with respect to")

    # A copy has values of its own, with a stamp of their own.

    def __getstate__(self) -> dict[str, Any]:
        plain = {name: value for name, value in self.__dict__.items() if name != "_values"}
        return {"plain": plain, "values": dict(self._values)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["plain"])
        self._values.update(state["values"])


def is_floating(tensor: Tensor) -> bool:
    return tensor.dtype in _FLOATING


def check_traced(values: Values, name: str, value: Any) -> None:
    """Refuses the writes that a Program can't make."""
    old = values.get(name)
    if old is None:
        raise TracingError(
            f"the attribute {name!r} is set to a tensor for the first time while its function is "
            "traced: make it in __init__"
        )
    if isinstance(old, Tensor) and isinstance(value, Tensor):
        if (old.shape, old.dtype) != (value.shape, value.dtype):
            raise TracingError(
                f"the attribute {name!r} changes from {old.dtype} {list(old.shape)} to "
                f"{value.dtype} {list(value.shape)} while its function is traced: keep its shape "
                "and dtype"
            )
    else:
        raise TracingError(f"the number {name!r} is changed while its function is traced")
