"""Layer: the base of everything that maps tensors to tensors with parameters of its own."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pycyxwiz._config import Given
from pycyxwiz._core import ShapeError, Tensor
from pycyxwiz._state import Stateful, Values, current_scope, is_floating, read, write
from pycyxwiz._tree import as_tensor, is_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import EllipsisType

    from pycyxwiz._state import Reference

    # A shape that may be known in part: None for a size, a leading Ellipsis for any number of axes.
    PartialShape = tuple[int | EllipsisType | None, ...]

ANY_SHAPE: PartialShape = (...,)

# What most attributes are.
_NO_LAYERS = frozenset({type(None), bool, int, float, str, Given, Values})

# Whether the layer call that this thread is in trains. Only calls set it, and they set it back.
_training: ContextVar[bool] = ContextVar("pycyxwiz_training", default=False)


class Layer(Stateful):
    """A function of tensors with parameters, made in ``__init__`` and used in ``forward``.

    Floating tensors assigned to attributes are the parameters that training changes, except those
    whose name starts with an underscore, which are state that is saved but not trained (running
    means and the like). Layers assigned to attributes, or in lists, tuples and dicts there, are
    found too. A tensor inside a list is not: give each one an attribute.

    A call infers unless it is told to train: ``layer(x, training=True)``. The layers that
    ``forward`` calls do as the outer one; a ``forward`` that wants to know takes a ``training``
    argument. ``trainable = False`` keeps a layer's parameters, and those below it, as they are.

    >>> class Residual(cx.layers.Layer):
    ...     def __init__(self, size):
    ...         self.inner = cx.layers.Dense(size, size, activation="relu")
    ...         self.scale = cx.ones([size])
    ...
    ...     def forward(self, x):
    ...         return x + self.inner(x) * self.scale
    >>> layer = Residual(3)
    >>> list(layer.parameters())
    ['scale', 'inner.weight', 'inner.bias']
    >>> layer(cx.zeros([2, 3])).shape()
    [2, 3]
    """

    trainable: bool = True
    _takes_training: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        code = getattr(cls.forward, "__code__", None)
        if code is not None:
            named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            cls._takes_training = "training" in named

    # --- computing -----------------------------------------------------------------------------

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The layer's function; called by ``layer(...)``."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, x)")

    def forward_logits(self, x: Any) -> Any:
        """``forward`` without its final activation, for layers that name one."""
        raise NotImplementedError(f"{type(self).__name__} has no final activation to leave out")

    @property
    def final_activation(self) -> str | None:
        """The name of the activation that ``forward`` ends with; None when that isn't known."""
        return None

    def __call__(self, *inputs: Any, training: bool | None = None) -> Any:
        return self._run(self.forward, inputs, training, self._takes_training)

    def logits(self, x: Any, *, training: bool | None = None) -> Any:
        """What goes into the final activation; losses from it are exact where that saturates."""
        return self._run(self.forward_logits, (x,), training, False)

    def _run(
        self,
        function: Callable[..., Any],
        inputs: tuple[Any, ...],
        training: bool | None,
        takes_training: bool,
    ) -> Any:
        scope = current_scope()
        if scope is not None:
            scope.visit(self._values)
        for x in inputs:
            if type(x) is not Tensor:
                inputs = tuple(map(_to_tensor, inputs))
                break
        outer = _training.get()
        if training is None:
            training = outer
        if takes_training:
            function = partial(function, training=training)
        if training is outer:
            return function(*inputs)
        token = _training.set(training)
        try:
            return function(*inputs)
        finally:
            _training.reset(token)

    def output_shape(self, shape: PartialShape) -> PartialShape:
        """The shape that an input of ``shape`` gives, as far as it is known without computing.

        Raises ``InputShapeError`` when the layer can't take it. Layers that know override this.
        """
        return ANY_SHAPE

    # --- parameters and state ------------------------------------------------------------------

    def parameters(self) -> dict[str, Tensor]:
        """The trainable parameters, of the layers below too, by dotted name."""
        return {name: read(*reference) for name, reference in self.parameter_references().items()}

    def state(self) -> dict[str, Tensor]:
        """Every tensor that makes up the layer: what a file of it holds."""
        return {name: read(*reference) for name, reference in self._references().items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Sets every tensor of ``state()`` from a mapping of the same names, shapes and dtypes.

        Raises ``ValueError`` when a name is missing or unknown or a dtype differs, ``ShapeError``
        when a shape does; the layer is then unchanged.
        """
        references = self._references()
        missing, unknown = references.keys() - state.keys(), state.keys() - references.keys()
        if missing or unknown:
            parts = [f"it lacks {', '.join(sorted(missing))}"] if missing else []
            parts += [f"it has {', '.join(sorted(unknown))}, unknown here"] if unknown else []
            raise ValueError(f"the state does not fit {self!r}: {'; '.join(parts)}")
        new = {}
        for name, reference in references.items():
            old, value = read(*reference), state[name]
            value = value if isinstance(value, Tensor) else Tensor(value)
            if value.shape != old.shape:
                raise ShapeError(f"{name} has shape {list(value.shape)}, needs {list(old.shape)}")
            if value.dtype != old.dtype:
                raise ValueError(f"{name} is {value.dtype}, needs {old.dtype}")
            new[name] = value.to(old.device)
        for name, reference in references.items():
            write(*reference, new[name])

    def members(self) -> list[Stateful]:
        # On the way of every compiled call, and so without the names that _walk gives.
        found: list[Stateful] = [self]
        seen = {id(self)}
        for layer in found:
            for value in layer.__dict__.values():
                if type(value) in _NO_LAYERS:
                    continue
                for _, below in layers_in((value,)):
                    if id(below) not in seen:
                        seen.add(id(below))
                        found.append(below)
        return found

    def parameter_references(self) -> dict[str, Reference]:
        return {
            path + name: (values, name)
            for path, values, name, trained in self._tensors()
            if trained
        }

    def _references(self) -> dict[str, Reference]:
        return {path + name: (values, name) for path, values, name, _ in self._tensors()}

    def _tensors(self) -> Iterator[tuple[str, Values, str, bool]]:
        """Each tensor: its layer's path, its place, its name there, and whether it is trained."""
        for path, layer, trainable in self._walk():
            values = layer._values
            for name, value in values.items():
                if isinstance(value, Tensor):
                    trained = trainable and not name.startswith("_") and is_floating(value)
                    yield path, values, name, trained

    def _walk(self) -> Iterator[tuple[str, Layer, bool]]:
        """The layer and those below it, each once: its path, and whether it may be trained."""
        pending: list[tuple[str, Layer, bool]] = [("", self, True)]
        seen = {id(self)}
        while pending:
            path, layer, trainable = pending.pop()
            trainable = trainable and layer.trainable
            yield path, layer, trainable
            below = []
            for name, child in layers_in(layer.__dict__):
                if id(child) not in seen:
                    seen.add(id(child))
                    below.append((f"{path}{name}.", child, trainable))
            pending.extend(reversed(below))


class InputShapeError(ShapeError):
    """A layer got an input of a shape that it cannot take."""

    def __init__(self, layer: Layer, shape: PartialShape, needs: str) -> None:
        super().__init__(f"{layer!r} got input {shape_text(shape)}: it needs {needs}")
        self.layer = layer


def shape_text(shape: PartialShape) -> str:
    """``[..., 64]``, ``[?, 3, 8, 8]``: a shape as messages show it."""
    marks = {None: "?", ...: "..."}
    sizes = [str(size) if isinstance(size, int) else marks[size] for size in shape]
    return f"[{', '.join(sizes)}]"


def layers_in(container: Any) -> Iterator[tuple[str, Layer]]:
    """The layers in a dict, list or tuple, to any depth, with their dotted names."""
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for name, value in items:
        if isinstance(value, Layer):
            yield str(name), value
        elif isinstance(value, (list, tuple, dict)):
            for below, layer in layers_in(value):
                yield f"{name}.{below}", layer


def _to_tensor(x: Any) -> Any:
    """Arrays and lists of numbers as tensors; anything else is the layer's business."""
    if isinstance(x, Tensor):
        return x
    if is_array(x):
        return as_tensor(x)
    first = x
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return Tensor(x) if isinstance(first, (int, float)) else x
