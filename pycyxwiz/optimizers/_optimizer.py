"""Optimizer: what every training algorithm shares; a subclass writes its update rule."""

from __future__ import annotations

import weakref
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from pycyxwiz import _core
from pycyxwiz._core import ShapeError, Tensor
from pycyxwiz._state import Stateful, current_scope, read, write
from pycyxwiz._tree import map_leaves

if TYPE_CHECKING:
    from collections.abc import Callable

    Rate = float | Callable[[Any], Any]
    Scalar = float | Tensor


class Optimizer(Stateful):
    """Changes parameters step by step against their gradients; the base of all optimizers.

    Parameters
    ----------
    learning_rate : a number ≥ 0, one of ``optimizers.schedules``, or a function of the step (a 0-d
        tensor that counts from 0) that gives the rate. ``lr`` is another name for it.
    weight_decay : ≥ 0; how strongly weights are drawn to 0: added to the gradient as ``weight_decay
        · parameter``, except in ``AdamW``.
    clip_norm : > 0; gradients whose norm, all taken together, is larger are scaled down to it.

    ``learning_rate`` may be changed at any time. The rate and the count of steps are inputs of
    compiled programs: neither a new rate nor a schedule compiles anything again.

    A subclass names its per-parameter state in ``slots`` and defines ``rule``:

    >>> class SignSGD(cx.optimizers.Optimizer):
    ...     def rule(self, parameter, gradient, state, scalars):
    ...         (rate,) = scalars
    ...         return parameter - rate * cx.sign(gradient), ()
    >>> SignSGD(lr=0.5).update(cx.Tensor([1.0, 1.0]), cx.Tensor([0.3, -9.0])).tolist()
    [0.5, 1.5]
    """

    slots: tuple[str, ...] = ()
    """Names of the tensors that are kept for each parameter; they start at 0."""

    decoupled: ClassVar[bool] = False
    """Whether weight decay acts on the parameter itself and not through the gradient."""

    untracked = frozenset({"_owner", "_served"})

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        *,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        lr: Rate | None = None,
    ) -> None:
        if lr is not None and (self._given.args or "learning_rate" in self._given.kwargs):
            raise ValueError(f"{type(self).__name__}: lr and learning_rate are one thing: give one")
        self.learning_rate = learning_rate if lr is None else lr
        self.weight_decay = self._number("weight_decay", weight_decay, least=0)
        if clip_norm is not None and not self._number("clip_norm", clip_norm, least=0) > 0:
            raise ValueError(f"{type(self).__name__}: clip_norm must be > 0, got {clip_norm!r}")
        self.clip_norm = clip_norm
        self.reset()

    # --- what a subclass defines ---------------------------------------------------------------

    def rule(
        self,
        parameter: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        scalars: tuple[Any, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The parameter's new value, and its new state, in ``slots``' order."""
        raise NotImplementedError(f"{type(self).__name__} must define rule()")

    def scalars(self, rate: Scalar, step: Tensor) -> tuple[Scalar, ...]:
        """What ``rule`` needs, once per step: by default the rate. ``step`` is float64, from 1."""
        return (rate,)

    # --- what the base does --------------------------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The rate: a number, or what computes it from the step."""
        return read(self._values, "learning_rate")

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        rate = value if callable(value) else self._number("learning_rate", value, least=0)
        write(self._values, "learning_rate", rate)

    def reset(self) -> None:
        """Forgets every step: as newly made."""
        for name in [name for name in self._values if "/" in name]:
            del self._values[name]
        self._values.touch()
        self._served: dict[str, tuple[int, ...]] = {}
        self._owner: weakref.ref[Any] | None = None
        self.step = _core.zeros((), _core.int64)

    def update(self, target: Any, gradients: Any) -> Any:
        """Takes one step: in place for a layer or a model, as a new tree for tensors.

        Parameters
        ----------
        target : a layer, a model, or a tree of tensors.
        gradients : what ``cx.grad`` gives for it.

        Returns the layer or model itself, or the tree of new values. One optimizer serves one
        target: its state belongs to those parameters; ``reset()`` frees it for others.

        Raises ``ValueError`` when the gradients or the optimizer's state belong to something else.

        >>> weights = {"w": cx.Tensor([1.0, 2.0])}
        >>> optimizer = cx.optimizers.SGD(lr=0.5)
        >>> weights = optimizer.update(weights, cx.grad(lambda p: cx.sum(p["w"] ** 2))(weights))
        >>> weights["w"].tolist()
        [0.0, 0.0]
        """
        if isinstance(target, Stateful):
            self.serve(target)
            references = target.parameter_references()
            parameters = {name: read(*reference) for name, reference in references.items()}
            new = self._take_step(parameters, _matching(gradients, parameters))
            for name, reference in references.items():
                write(*reference, new[name])
        else:
            parameters = _named(target)
            new = self._take_step(parameters, _matching(_named(gradients), parameters))
            values = iter(new.values())
            target = map_leaves(lambda _: next(values), target)
        if current_scope() is None:
            _core.evaluate([*new.values(), *_tensors(self._values)])
        return target

    def serve(self, target: Stateful) -> None:
        """Ties the optimizer to a layer or model. Raises ``ValueError`` when it serves another."""
        if self._owner is None:
            self._owner = weakref.ref(target)
        elif self._owner() is not target:
            raise ValueError(
                f"this {type(self).__name__} keeps state of another model's parameters: make one "
                "optimizer for each model, or call reset() first"
            )

    def _take_step(
        self, parameters: dict[str, Tensor], gradients: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        self._prepare(parameters)
        done = self.step
        self.step = done + 1
        clock = _core.astype(done, _core.float64)
        rate = self.learning_rate
        if callable(rate):
            rate = rate(clock)
        scalars = self.scalars(rate, clock + 1)
        if self.clip_norm is not None:
            gradients = _clipped(gradients, self.clip_norm)
        cast: dict[str, tuple[Any, tuple[Any, ...]]] = {}
        new = {}
        for name, parameter in parameters.items():
            gradient, dtype = gradients[name], parameter.dtype
            if str(dtype) not in cast:
                cast[str(dtype)] = (_cast(rate, dtype), tuple(_cast(s, dtype) for s in scalars))
            own_rate, own_scalars = cast[str(dtype)]
            if self.weight_decay and self.decoupled:
                parameter = parameter * (1 - own_rate * self.weight_decay)
            elif self.weight_decay:
                gradient = gradient + self.weight_decay * parameter
            names = [f"{slot}/{name}" for slot in self.slots]
            state = tuple([read(self._values, slot) for slot in names])
            new[name], state = self.rule(parameter, gradient, state, own_scalars)
            for slot, value in zip(names, state, strict=True):
                write(self._values, slot, value)
        return new

    def _prepare(self, parameters: dict[str, Tensor]) -> None:
        """Makes the state of new parameters; checks that the others are those of before."""
        if not parameters:
            raise ValueError(f"{type(self).__name__}: there are no trainable parameters to update")
        for name, parameter in parameters.items():
            shape = tuple(parameter.shape)
            served = self._served.setdefault(name, shape)
            if served != shape:
                raise ValueError(
                    f"this {type(self).__name__} keeps state of other parameters than these: make "
                    "one optimizer for each model, or call reset() first"
                )
            for slot in self.slots:
                if f"{slot}/{name}" not in self._values:
                    # Zeros have a value even while the step is traced: they go past any scope.
                    zeros = _core.zeros(parameter.shape, parameter.dtype)
                    self._values.put(f"{slot}/{name}", zeros)

    def _number(self, name: str, value: Any, *, least: float, below: float | None = None) -> float:
        """A finite number in [least, below)."""
        kind = type(self).__name__
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{kind}: {name} must be a number, got {value!r}") from None
        if not (isfinite(number) and number >= least and (below is None or number < below)):
            limits = f"≥ {least:g}" if below is None else f"in [{least:g}, {below:g})"
            raise ValueError(f"{kind}: {name} must be a finite number {limits}, got {value!r}")
        return number

    def _argument_now(self, name: str, given: Any) -> Any:
        if name in ("learning_rate", "lr"):
            return self.learning_rate if name == "learning_rate" else None
        return super()._argument_now(name, given)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["plain"]["_owner"] = None
        return state


def _matching(gradients: Any, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradients by name, each of its parameter's shape."""
    if not isinstance(gradients, dict) or gradients.keys() != parameters.keys():
        got = ", ".join(gradients) if isinstance(gradients, dict) else type(gradients).__name__
        raise ValueError(
            f"the gradients don't belong to these parameters: needed are {', '.join(parameters)}; "
            f"got {got}"
        )
    for name, parameter in parameters.items():
        if gradients[name].shape != parameter.shape:
            raise ShapeError(
                f"the gradient of {name} has shape {list(gradients[name].shape)}, the parameter "
                f"{list(parameter.shape)}"
            )
    return gradients


def _named(tree: Any) -> dict[str, Tensor]:
    """A tree's tensors by their numbers."""
    leaves: list[Tensor] = []
    map_leaves(leaves.append, tree)
    return {str(number): leaf for number, leaf in enumerate(leaves)}


def _clipped(gradients: dict[str, Tensor], norm: float) -> dict[str, Tensor]:
    total = sum(_core.sum(_core.square(gradient)) for gradient in gradients.values())
    scale = _core.minimum(norm / _core.sqrt(total), 1)
    return {name: gradient * scale for name, gradient in gradients.items()}


def _cast(scalar: Scalar, dtype: Any) -> Scalar:
    return _core.astype(scalar, dtype) if isinstance(scalar, Tensor) else scalar


def _tensors(values: dict[str, Any]) -> list[Tensor]:
    return [value for value in values.values() if isinstance(value, Tensor)]
