"""Functions in, functions out: ``compile``, ``grad``, ``value_and_grad``; and ``eval``.

Tracing, in one page. A compiled function is run once per signature (the arguments' tree, shapes and
dtypes, and static values) with placeholders in place of tensors and numbers. What it computes
becomes a Program, which later calls replay without running the Python code. Tensor attributes of
layers and optimizers are inputs of the Program wherever the function got the object from, and those
that it assigns are outputs, written back after each run (``_state``). Random operations draw anew
at every run.
"""

from __future__ import annotations

import functools
import weakref
from itertools import count
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from pycyxwiz import _core, devices
from pycyxwiz._core import DTypeError, ShapeError, Tensor, TracingError
from pycyxwiz._state import (
    Overlay,
    Scope,
    Stateful,
    Values,
    check_traced,
    current_scope,
    is_floating,
    read,
)
from pycyxwiz._tree import Slot, fill, is_array, is_static, map_leaves, signature, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from pycyxwiz._core import Device
    from pycyxwiz._state import Reference

__all__ = ["compile", "eval", "grad", "value_and_grad"]

P = ParamSpec("P")
R = TypeVar("R")

_MOST_TRACES = 64
_MANY_TRACES = 32
_clock = count()


def eval(*trees: Any) -> None:
    """Computes tensors now, all together.

    Parameters
    ----------
    *trees : tensors in any nesting of lists, tuples and dicts; layers and models.

    Reading a value (``item``, ``to_numpy``, ``print``) computes what it needs by itself; ``eval``
    says when, for instance once at the end of each step of a training loop.

    >>> a = cx.ones([2, 2])
    >>> cx.eval(a @ a, {"sum": a.sum()})
    """
    for tree in trees:
        if type(tree) is not Tensor:
            _core.evaluate(tensors(trees))
            return
    _core.evaluate(trees)


# --- compile -------------------------------------------------------------------------------------


def compile(
    fn: Callable[P, R],
    *,
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
) -> Compiled[P, R]:
    """A function that gives what ``fn`` gives, from a Program that is made once per signature.

    Parameters
    ----------
    fn : a function of tensors, numbers, layers and models, in any nesting of lists, tuples and
        dicts. It runs once per signature: shapes, dtypes, and the values of bools, strings and
        None. Numbers are inputs of the Program: changing one never traces again.
    static_argnames : arguments that ``fn`` needs as Python values (for ``range``, a shape, an
        ``if``); they must be hashable, and each new value traces again.
    donate_argnums : positions of arguments whose memory the results may take; using a donated
        tensor afterwards raises ``RuntimeError``.

    Layers, models and optimizers that the function uses, given as arguments or not, are never
    frozen: it always computes with their weights of now, and assigns those that it changes. Other
    tensors that it reaches through a closure or a global are constants. Assignments to an argument
    (``x += 1``, ``x[i] = v``) stay inside the function: the caller's tensor keeps its value.

    Raises ``TracingError`` when the function asks for a value while it is traced.

    >>> @cx.compile
    ... def gap(x, y, scale):
    ...     return cx.sqrt(cx.sum((x - y) ** 2)) * scale
    >>> gap(cx.Tensor([3.0, 0.0]), cx.Tensor([0.0, 4.0]), 2.0).item()
    10.0
    """
    return Compiled(fn, static_argnames=static_argnames, donate_argnums=donate_argnums)


class Compiled(Generic[P, R]):
    """A function with its Programs; what ``compile`` returns.

    ``internal`` ones are steps of a model's training: their state is donated, and nobody is warned
    that there are many.
    """

    __wrapped__: Callable[P, R]

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        static_argnames: str | Iterable[str] = (),
        donate_argnums: int | Iterable[int] = (),
        internal: bool = False,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"compile takes a function, got {fn!r}")
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._name = getattr(fn, "__qualname__", repr(fn))
        self._static_names = frozenset(
            (static_argnames,) if isinstance(static_argnames, str) else static_argnames
        )
        self._donated = frozenset(
            (donate_argnums,) if isinstance(donate_argnums, int) else donate_argnums
        )
        self._internal = internal
        self._positions = self._find_static() if self._static_names else frozenset()
        self._traces: dict[Hashable, Trace] = {}
        self._made = 0

    def _find_static(self) -> frozenset[int]:
        """The positions of the static arguments."""
        import inspect

        parameters = inspect.signature(self._fn).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        unknown = self._static_names - set(parameters)
        if unknown and not takes_any:
            raise ValueError(
                f"compile: static_argnames names {', '.join(sorted(unknown))}, but {self._name} "
                f"takes {', '.join(parameters)}"
            )
        return frozenset(i for i, name in enumerate(parameters) if name in self._static_names)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._name}, {len(self._traces)} traces>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if current_scope() is not None:  # traced or differentiated from outside
            return self._fn(*args, **kwargs)
        leaves: list[Any] = []
        trace = self.trace(args, kwargs, leaves)
        result: R = trace(leaves)
        return result

    def trace(self, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any]) -> Trace:
        """The trace for these arguments, made if there is none; their leaves go into ``leaves``."""
        # A microsecond is what a small Program takes: no call here that most can do without.
        key: Hashable = None
        if not (self._static_names or kwargs):
            key = _core.plain_signature(args, leaves)
        if key is None:
            key = self._key(args, kwargs, leaves)
        trace = self._traces.get(key)
        if trace is not None and not (trace.guards and trace.is_stale()):
            trace.used = next(_clock)
            return trace
        with devices.device(_device(leaves, args, kwargs)):
            trace = self._make(args, kwargs, leaves)
        # Tracing may have given an optimizer its state, and so changed its stamp.
        if not isinstance(key, bytes):
            key = self._key(args, kwargs, [])
        self._traces[key] = trace
        compiled = weakref.ref(self)

        def forget() -> None:
            if (alive := compiled()) is not None:
                alive._traces.pop(key, None)

        trace.forget_with(_objects(args, kwargs), forget)
        if len(self._traces) > _MOST_TRACES:
            oldest = min(self._traces.copy().items(), key=lambda item: item[1].used)
            self._traces.pop(oldest[0], None)
        return trace

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any]) -> Hashable:
        parts: list[Hashable] = [_core.get_matmul_precision()]
        for position, argument in enumerate(args):
            static = position in self._positions
            parts.append(_static_key(argument) if static else signature(argument, leaves))
        for name in sorted(kwargs):
            static = name in self._static_names
            argument = kwargs[name]
            parts.append(name)
            parts.append(_static_key(argument) if static else signature(argument, leaves))
        if not any(isinstance(leaf, Tensor) for leaf in leaves):
            parts.append(_device(leaves, args, kwargs))
        return tuple(parts)

    def _make(self, args: Sequence[Any], kwargs: dict[str, Any], leaves: list[Any]) -> Trace:
        self._made += 1
        if self._made == _MANY_TRACES and not self._internal:
            import warnings

            warnings.warn(
                f"{self._name} was traced {self._made} times: every new combination of shapes, "
                "dtypes, static values and layers is compiled anew. Pad the shapes that vary, or "
                "pass what varies as a number or a tensor.",
                RuntimeWarning,
                stacklevel=4,
            )
        supply = iter(leaves)
        symbols: list[Tensor] = []
        donated: list[bool] = []
        numbers: list[str | int] = []  # the arguments that are numbers, or hold some

        def symbolic(argument: str | int, tree: Any) -> Any:
            if argument in (self._positions if isinstance(argument, int) else self._static_names):
                return tree

            def symbol(leaf: Any) -> Any:
                if is_static(leaf):
                    return leaf
                value = next(supply)
                if not isinstance(value, Tensor):
                    numbers.append(argument)
                symbols.append(_placeholder(value))
                # An array that became a Tensor here shares its memory with its owner.
                donated.append(argument in self._donated and isinstance(leaf, Tensor))
                # A handle of its own: `x += 1` in the function rebinds that, not the input.
                return Tensor(symbols[-1])

            return map_leaves(symbol, tree)

        new_args = [symbolic(position, tree) for position, tree in enumerate(args)]
        new_kwargs = {name: symbolic(name, kwargs[name]) for name in sorted(kwargs)}
        try:
            return Trace(
                self._fn, new_args, new_kwargs, symbols, donated, donate_state=self._internal
            )
        except TracingError as error:
            if numbers and not self._internal:
                error.args = (self._with_mend(str(error), numbers), *error.args[1:])
            raise

    def _with_mend(self, message: str, numbers: list[str | int]) -> str:
        """The core's message with the names of the arguments that may have to be static."""
        import inspect

        try:
            names = list(inspect.signature(self._fn).parameters)
        except (TypeError, ValueError):
            return message
        named = dict.fromkeys(
            names[min(number, len(names) - 1)] if isinstance(number, int) else number
            for number in numbers
        )
        listed = ", ".join(f'"{name}"' for name in named) + ("," if len(named) == 1 else "")
        return message.replace("static_argnames=...", f"static_argnames=({listed})")


class Trace:
    """What one run of a function with placeholders recorded, as a Program.

    The Program's inputs are the arguments' leaves, then the values at ``fixed``, then those at
    ``state``; its outputs are the result's tensors, then the new values for ``state``.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        args: list[Any],
        kwargs: dict[str, Any],
        symbols: list[Tensor],
        donated: list[bool],
        *,
        donate_state: bool,
    ) -> None:
        with _TraceScope() as scope, _core.Tracing() as tracing:
            result = fn(*args, **kwargs)
        outputs: list[Tensor] = []

        def slot(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            outputs.append(leaf)
            return Slot(len(outputs) - 1)

        self._template = map_leaves(slot, result)
        self._results = len(outputs)
        self.fixed, self.state = scope.references(written=False), scope.references(written=True)
        self.program = _core.Program(
            symbols + scope.symbols(self.fixed) + scope.symbols(self.state),
            outputs + [scope.read(*reference) for reference in self.state],
            tracing,
            donated + [False] * len(self.fixed) + [donate_state] * len(self.state),
        )
        self.guards = [(values, values.stamp) for values in scope.visited()]
        self._lifelines: list[weakref.ref[Stateful]] = []
        self.used = next(_clock)

    def is_stale(self) -> bool:
        """Whether an object that the function used has changed in more than its values."""
        for values, stamp in self.guards:  # noqa: SIM110
            if values.stamp != stamp:
                return True
        return False

    def forget_with(self, objects: list[Stateful], forget: Callable[[], object]) -> None:
        """Calls ``forget`` when one of the objects dies: the trace would keep its tensors alive."""
        self._lifelines = [weakref.ref(each, lambda _: forget()) for each in objects]

    def __call__(self, leaves: list[Any]) -> Any:
        if not self.guards:  # it used no object's tensors
            return fill(self._template, self.program(leaves))
        outputs = self.program([*leaves, *load(self.fixed), *load(self.state)])
        store(self.state, outputs[self._results :])
        return fill(self._template, outputs)


def outline(fn: Callable[..., Any], *args: Any) -> Any:
    """What ``fn`` gives, in shapes and dtypes only: traced, not computed. Writes are lost."""
    leaves: list[Any] = []
    signature(args, leaves)
    supply = iter(leaves)
    device = _device(leaves, args, {})
    with devices.device(device), _TraceScope(), _core.Tracing():
        symbols = map_leaves(
            lambda leaf: leaf if is_static(leaf) else _placeholder(next(supply)), args
        )
        return fn(*symbols)


def load(references: list[Reference]) -> list[Any]:
    """The values at those places, outside any scope."""
    return [values[name] for values, name in references]


def store(references: list[Reference], new: list[Tensor]) -> None:
    """Puts values of equal shape and dtype there, outside any scope."""
    for (values, name), value in zip(references, new, strict=True):
        values[name] = value


class _TraceScope(Scope):
    """Makes what is read an input of the Program, and what is written an output."""

    def __init__(self) -> None:
        self._inputs: dict[tuple[int, str], tuple[Reference, Tensor]] = {}
        self._now: dict[tuple[int, str], Tensor] = {}
        self._visited: dict[int, Values] = {}

    def read(self, values: Values, name: str) -> Any:
        if values.born > self.born:
            return values.get(name)
        key = (id(values), name)
        now = self._now.get(key)
        if now is not None:
            return now
        self.visit(values)
        value = values.get(name)
        if not isinstance(value, (Tensor, float)):
            return value
        symbol = _placeholder(value)
        self._inputs[key] = ((values, name), symbol)
        # A handle of its own: `self.count += 1` rebinds that, and so writes.
        self._now[key] = Tensor(symbol)
        return self._now[key]

    def write(self, values: Values, name: str, value: Any) -> None:
        check_traced(values, name, value)
        self.read(values, name)  # the old value is an input, and may be written over
        self._now[id(values), name] = value

    def visit(self, values: Values) -> None:
        self._visited[id(values)] = values

    def visited(self) -> list[Values]:
        return list(self._visited.values())

    def references(self, *, written: bool) -> list[Reference]:
        return [
            reference
            for key, (reference, symbol) in self._inputs.items()
            if _core.is_same(self._now[key], symbol) is not written
        ]

    def symbols(self, references: list[Reference]) -> list[Tensor]:
        return [self._inputs[id(values), name][1] for values, name in references]


def _placeholder(value: Tensor | float | int) -> Tensor:
    if isinstance(value, Tensor):
        return _core.placeholder(value.shape, value.dtype, device=value.device)
    return _core.placeholder(
        (), _core.float64 if isinstance(value, float) else _core.int64, weak=True
    )


def _static_key(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"compile: a static argument must be hashable, got {value!r}") from None
    return (type(value), value)


def _device(leaves: list[Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Device:
    """Where a function runs: where the first tensor among its arguments is, or in their objects."""
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            return leaf.device
    found = tensors(_objects(args, kwargs))
    return found[0].device if found else _core.default_device()


def _objects(args: Sequence[Any], kwargs: dict[str, Any]) -> list[Stateful]:
    found: list[Stateful] = []

    def visit(leaf: Any) -> None:
        if isinstance(leaf, Stateful):
            found.append(leaf)

    map_leaves(visit, (tuple(args), kwargs))
    return found


# --- derivatives ---------------------------------------------------------------------------------


def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the gradient of what ``fn`` gives.

    Parameters
    ----------
    fn : a function that returns a floating 0-d tensor.
    argnums : the position of the argument to differentiate with respect to, or several positions.
        It is a floating tensor, a number, a list, tuple or dict of those, a layer or a model.
    has_aux : ``fn`` returns ``(value, more)``; the result is then ``(gradient, more)``.

    Returns a function of the same arguments. Its result has the argument's own form; for a layer or
    a model it is a dict from the parameters' names, as in ``layer.parameters()``, to their
    gradients. Several ``argnums`` give a tuple. Gradients of gradients work, and so does use inside
    ``cx.compile``.

    Raises ``ShapeError`` when the value is not 0-d, ``DTypeError`` when it or an argument is not
    floating.

    >>> cube = lambda x: x**3
    >>> cx.grad(cube)(2.0).item()
    12.0
    >>> cx.grad(cx.grad(cube))(2.0).item()
    12.0
    """
    both = _differentiate(fn, argnums, has_aux, "grad")

    @functools.wraps(fn)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives ``(value, gradient)``; see ``cx.grad``.

    With ``has_aux``, ``fn`` returns ``(value, more)`` and the result is ``((value, more),
    gradient)``.

    >>> model = cx.layers.Dense(2, 1)
    >>> x, y = cx.ones([4, 2]), cx.zeros([4, 1])
    >>> step = cx.value_and_grad(lambda model, x, y: cx.losses.mse(model(x), y))
    >>> value, gradients = step(model, x, y)
    >>> gradients["weight"].shape()
    [2, 1]
    """
    return _differentiate(fn, argnums, has_aux, "value_and_grad")


def _differentiate(
    fn: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, caller: str
) -> Callable[..., Any]:
    if not callable(fn):
        raise TypeError(f"{caller} takes a function, got {fn!r}")
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    name = getattr(fn, "__qualname__", repr(fn))

    @functools.wraps(fn)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        arguments = list(args)
        watched: list[Tensor] = []
        templates = []
        with _GradScope() as scope:
            for position in positions:
                if not -len(args) <= position < len(args):
                    raise TypeError(
                        f"{caller}: argument {position} of {name} must be given by position; the "
                        f"call has {len(args)}"
                    )
                where = f"{caller}: argument {position} of {name}"
                templates.append(_watch(arguments, position, where, watched, scope))
            result = fn(*arguments, **kwargs)
            value, aux = result if has_aux else (result, None)
            _check_value(value, f"{caller}: {name}")
            gradients = _core.grad(value, watched)
            if scope.outer is None:
                value, aux, gradients = map_leaves(_detach, (value, aux, gradients))
        parts = tuple(fill(template, gradients) for template in templates)
        if has_aux:
            value = (value, aux)
        return value, parts[0] if isinstance(argnums, int) else parts

    return value_and_gradient


class _GradScope(Overlay):
    """Shows watched parameters. What leaves the outermost one lets go of its computation."""

    def handed_out(self, value: Any) -> Any:
        return _detach(value) if self.outer is None else value


def _watch(
    arguments: list[Any], position: int, where: str, watched: list[Tensor], scope: _GradScope
) -> Any:
    """Puts watched tensors in the argument's place; returns the gradient's template."""
    replaced: list[Any] = []

    def slot(tensor: Tensor) -> Slot:
        watched.append(tensor)
        return Slot(len(watched) - 1)

    def watch_leaf(leaf: Any) -> Any:
        if isinstance(leaf, Stateful):
            replaced.append(leaf)
            references = leaf.parameter_references()
            slots = {}
            for name, reference in references.items():
                slots[name] = slot(_core.watch(read(*reference)))
                scope.show(reference, Tensor(watched[-1]))
            return slots
        if type(leaf) is float or is_array(leaf):
            leaf = Tensor(leaf)
        if not (isinstance(leaf, Tensor) and is_floating(leaf)):
            got = leaf.dtype if isinstance(leaf, Tensor) else repr(leaf)
            raise DTypeError(
                f"{where} is {got}: derivatives are taken to floating tensors; convert it with "
                "astype(cx.float32), or choose other argnums"
            )
        watch = _core.watch(leaf)
        replaced.append(Tensor(watch))  # `x *= 2` rebinds this handle, not the one to differentiate
        return slot(watch)

    template = map_leaves(watch_leaf, arguments[position])
    supply = iter(replaced)
    arguments[position] = map_leaves(lambda _: next(supply), arguments[position])
    return template


def _check_value(value: Any, where: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{where} must return a 0-d tensor, not {type(value).__name__}")
    if value.ndim != 0:
        raise ShapeError(
            f"{where} returned a tensor of shape {list(value.shape)}: it must be 0-d; reduce it "
            "with mean() or sum()"
        )
    if not is_floating(value):
        raise DTypeError(f"{where} returned {value.dtype}: only a floating value has a gradient")


def _detach(leaf: Any) -> Any:
    return _core.stop_gradient(leaf) if isinstance(leaf, Tensor) else leaf
