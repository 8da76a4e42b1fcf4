"""Objects that know the arguments they were made with: for repr, and for saving an architecture.

Knows nothing of tensors. Layers, optimizers and schedules are ``Configured``; ``_serialization``
writes what ``encode`` gives and rebuilds it with ``decode``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_PLAIN = (type(None), bool, int, float, str)
_TAKES_ANY_NUMBER = 0x04 | 0x08  # a code object's flags for *args and **kwargs
_REQUIRED: Any = object()

_registered: dict[str, type[Configured]] = {}
C = TypeVar("C", bound="type[Configured]")


def register(cls: C) -> C:
    """Lets models that use a class of yours be saved and loaded; use it as a decorator.

    The file stores the class's name and arguments, never its code: the program that loads it must
    have imported the module that defines the class.

    >>> @cx.layers.register
    ... class Scale(cx.layers.Layer):
    ...     def __init__(self, factor):
    ...         self.factor = factor
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale(2.0)
    Scale(2.0)
    """
    if not (isinstance(cls, type) and issubclass(cls, Configured)):
        raise TypeError(f"register takes a class of layers, optimizers or schedules, got {cls!r}")
    _registered[cls.__name__] = cls
    return cls


class Given:
    """The arguments of a constructor's call, and what attributes were first set to."""

    __slots__ = ("args", "first", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.first: dict[str, Any] = {}


class Configured:
    """Remembers its constructor's arguments, for repr and for files."""

    _given: Given

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self.__dict__["_given"] = Given(args, kwargs)
        return self

    def __init__(self) -> None:
        """Takes nothing; without it, object's would take anything."""

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, without those that equal their defaults."""
        parameters = _parameters(type(self))
        given = dict(zip(parameters, self._given.args, strict=False)) | self._given.kwargs
        result = {}
        for name, default in parameters.items():
            value = self._argument_now(name, given.get(name, default))
            if type(value) is not type(default) or value != default:
                result[name] = value
        return result

    def _argument_now(self, name: str, given: Any) -> Any:
        """What to give the constructor today to get the same object."""
        return given

    def __repr__(self) -> str:
        try:
            parameters, arguments = _parameters(type(self)), self.arguments()
        except TypeError:
            return f"{type(self).__name__}(...)"
        parts = [
            repr(value) if parameters[name] is _REQUIRED else f"{name}={value!r}"
            for name, value in arguments.items()
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


def _parameters(cls: type[Configured]) -> dict[str, Any]:
    """The constructor's parameters in order, each with its default or ``_REQUIRED``."""
    init: Any = cls.__init__
    code = init.__code__
    if code.co_flags & _TAKES_ANY_NUMBER:
        raise TypeError(
            f"{cls.__name__}.__init__ takes *args or **kwargs: define arguments(self), which "
            "returns its constructor's arguments as a dict"
        )
    positional = code.co_varnames[1 : code.co_argcount]
    keyword = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    parameters = dict.fromkeys(positional + keyword, _REQUIRED)
    defaults = init.__defaults__ or ()
    parameters.update(zip(positional[len(positional) - len(defaults) :], defaults, strict=True))
    parameters.update(init.__kwdefaults__ or {})
    return parameters


def is_storable(value: object) -> bool:
    """Whether it is made of plain values and configured objects."""
    if isinstance(value, (list, tuple)):
        return all(map(is_storable, value))
    return isinstance(value, (*_PLAIN, Configured))


def encode(value: object, functions: Mapping[str, Callable[..., Any]]) -> Any:
    """``value`` as JSON's types; ``functions`` are those that may be named.

    Raises ``ValueError`` for what a file can't hold, with the mend.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return [encode(item, functions) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item, functions) for item in value]}
    if isinstance(value, dict):
        return {"dict": {str(key): encode(item, functions) for key, item in value.items()}}
    if isinstance(value, Configured):
        cls = type(value)
        if _registered.get(cls.__name__) is not cls:
            raise ValueError(
                f"{cls.__name__} can't be saved: put @cx.layers.register above the class, so that "
                "loading knows it"
            )
        try:
            arguments = value.arguments()
        except TypeError as error:
            raise ValueError(f"{cls.__name__} can't be saved: {error}") from None
        encoded = {name: encode(argument, functions) for name, argument in arguments.items()}
        return {"class": cls.__name__, "arguments": encoded}
    for name, function in functions.items():
        if value is function:
            return name
    raise ValueError(
        f"{value!r} can't be saved: a model's file holds numbers, strings, lists, tuples, dicts, "
        "None and registered classes"
    )


def decode(value: Any) -> Any:
    """The inverse of ``encode``. Raises ``ValueError`` for classes that are not registered."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"tuple"}:
        return tuple([decode(item) for item in value["tuple"]])
    if value.keys() == {"dict"}:
        return {key: decode(item) for key, item in value["dict"].items()}
    if value.keys() != {"class", "arguments"}:
        raise ValueError(f"expected a class with its arguments, got the keys {sorted(value)}")
    cls = _registered.get(value["class"])
    if cls is None:
        raise ValueError(
            f"it uses the class {value['class']!r}, which is not registered here: import the "
            f"module that defines it; known are {listed(_registered)}"
        )
    return cls(**{name: decode(argument) for name, argument in value["arguments"].items()})


def listed(names: Iterable[str]) -> str:
    """The known names, for a message."""
    return ", ".join(sorted(names))
