"""Model: layers in a row, trained, evaluated, saved and loaded as one."""

from __future__ import annotations

import functools
import sys
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pycyxwiz import _core, _data, devices, optimizers
from pycyxwiz import callbacks as _callbacks
from pycyxwiz._config import register
from pycyxwiz._core import ShapeError, Tensor
from pycyxwiz._feed import Feed
from pycyxwiz._objective import Objective
from pycyxwiz._steps import Steps, run_batches
from pycyxwiz._transforms import outline
from pycyxwiz.layers._layer import ANY_SHAPE, InputShapeError, Layer, layers_in, shape_text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from pycyxwiz._core import Device
    from pycyxwiz.callbacks import Callback, History
    from pycyxwiz.layers._layer import PartialShape
    from pycyxwiz.optimizers import Optimizer

    Function = Callable[..., Tensor]

__all__ = ["Model"]

Method = TypeVar("Method", bound="Callable[..., Any]")


def _at_home(method: Method) -> Method:
    """New tensors of the method are made where the model's weights are."""

    @functools.wraps(method)
    def moved(self: Model, *args: Any, **kwargs: Any) -> Any:
        with devices.device(self._device()):
            return method(self, *args, **kwargs)

    return cast("Method", moved)


@register
class Model(Layer):
    """Layers, each fed with what the one before it gives; a model is a layer itself.

    Parameters
    ----------
    layers : the layers, in order; ``add`` appends more. Layers that can't follow each other are
        refused at once, with both layers and shapes in the message.

    Attributes
    ----------
    layers : the tuple of its layers.
    optimizer : what ``compile`` was given, or None.
    history : the record of the last ``fit``, or None.
    stop_training : set by callbacks to end ``fit`` after the epoch.

    A subclass may define ``forward`` itself and keep its layers in attributes of its own.

    >>> model = cx.Model([cx.layers.Dense(2, 8, activation="relu")])
    >>> model.add(cx.layers.Dense(8, 1, activation="sigmoid"))
    >>> model.compile(optimizer="adam", loss="binary_cross_entropy", metrics=["accuracy"])
    >>> x = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> history = model.fit(x, [0, 0, 0, 1], epochs=2, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss']
    >>> model.predict(x).shape()
    [4, 1]
    """

    layers: tuple[Layer, ...]
    optimizer: Optimizer | None
    objective: Objective | None
    history: History | None
    stop_training: bool

    untracked = frozenset({"history", "stop_training", "_input", "_steps"})

    def __init__(self, layers: Iterable[Layer] | None = None) -> None:
        self.layers = ()
        self.optimizer = None
        self.objective = None
        self.history = None
        self.stop_training = False
        self._steps: Steps | None = None
        self._input: PartialShape = ANY_SHAPE  # the shape of the last examples
        for layer in layers or ():
            self.add(layer)

    # --- building ------------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Appends a layer. Raises ``ShapeError`` when it can't follow the one before it."""
        if not isinstance(layer, Layer):
            raise TypeError(f"a model is made of layers, got {layer!r}")
        layers = (*self.layers, layer)
        _shapes(layers, ANY_SHAPE)
        self.layers = layers
        self._steps = None

    def forward(self, x: Any) -> Any:
        self._check_layers()
        return _through(self.layers, self.layers, x)

    def forward_logits(self, x: Any) -> Any:
        self._check_layers()
        return _through(self.layers, (*self.layers[:-1], self.layers[-1].logits), x)

    @property
    def final_activation(self) -> str | None:
        if type(self).forward is not Model.forward or not self.layers:
            return None
        return self.layers[-1].final_activation

    def output_shape(self, shape: PartialShape) -> PartialShape:
        if type(self).forward is not Model.forward:
            return ANY_SHAPE
        return (shape, *_shapes(self.layers, shape))[-1]

    def summary(self) -> None:
        """Writes a table of the layers, the shapes they give and their numbers of parameters.

        Sizes that depend on the input (``?``) are known once the model has seen examples.

        >>> cx.Model([cx.layers.Dense(784, 10, activation="softmax")]).summary()
        Model
        layer                                   output shape  parameters
        Dense(784, 10, activation='softmax')    [..., 10]          7,850
        total 7,850, trainable 7,850
        """
        layers = tuple(layer for _, layer in layers_in(vars(self)))
        in_a_row = type(self).forward is Model.forward
        shapes = _shapes(layers, self._input) if in_a_row else [ANY_SHAPE] * len(layers)
        rows = [("layer", "output shape", "parameters")]
        for layer, shape in zip(layers, shapes, strict=True):
            rows.append((repr(layer), shape_text(shape), f"{_size(layer.state()):,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [type(self).__name__]
        lines += [f"{a:<{widths[0]}}    {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        total, trainable = _size(self.state()), _size(self.parameters())
        lines.append(f"total {total:,}, trainable {trainable:,}")
        sys.stdout.write("\n".join(lines) + "\n")

    def arguments(self) -> dict[str, Any]:
        if type(self).__init__ is not Model.__init__:
            return super().arguments()
        return {"layers": list(self.layers)}

    # --- training ------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: str | Optimizer,
        loss: str | Function,
        metrics: str | Function | Iterable[str | Function] | None = None,
    ) -> None:
        """Says how to train. May be called again at any time; the optimizer then starts anew.

        Parameters
        ----------
        optimizer : "sgd", "adam", "adamw", "rmsprop", or an object of ``cx.optimizers``, which from
            now on serves this model only.
        loss : a name from ``cx.losses``, or a function of predictions and targets that gives a
            mean. "cross_entropy" after a softmax, and "binary_cross_entropy" after a sigmoid, are
            computed from the logits; a model that ends without an activation is taken to give
            logits.
        metrics : names from ``cx.metrics`` and ``cx.losses``, or functions like ``loss``.

        Raises ``ValueError`` for unknown names, listing the known ones.
        """
        if isinstance(optimizer, str):
            optimizer = optimizers.named(optimizer)
        if not isinstance(optimizer, optimizers.Optimizer):
            raise TypeError(
                "the optimizer must be a name or an object such as cx.optimizers.Adam(), got "
                f"{optimizer!r}"
            )
        self.objective = Objective(loss, metrics)
        self._steps = None
        optimizer.reset()
        optimizer.serve(self)
        self.optimizer = optimizer

    @_at_home
    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, Any] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        verbose: int = 1,
        callbacks: Iterable[Callback] | None = None,
    ) -> History:
        """Trains on examples, where the model's weights are, and returns the history.

        Parameters
        ----------
        x : examples [N, ...]: an array, a tensor, a pandas table, a list. float64 is cast to
            float32 once. They are moved to the model's device once, when they take no more than
            half of its free memory, and part by part in every epoch otherwise.
        y : targets. For cross-entropy class indices [N] or [N, 1], or rows of probabilities [N,
            classes]; otherwise of the shape the model gives, where [N] and [N, 1] are taken for
            each other.
        epochs : how often all examples are seen.
        batch_size : examples in each step; the last batch of an epoch may be smaller and counts as
            such.
        validation_data : (x, y) to evaluate after every epoch.
        validation_split : the share of the examples, taken from the end, to evaluate instead of
            training.
        shuffle : draws a new order for each epoch (``cx.random.seed`` makes it repeatable).
        verbose : 0 writes nothing, 1 shows a bar for each epoch, 2 writes a line for each epoch.
        callbacks : see ``cx.callbacks``.

        Ctrl-C ends training as if it was done: the model keeps its weights, the history the epochs
        so far.

        Raises ``RuntimeError`` before ``compile``; ``ValueError`` (of which ``ShapeError`` is one
        kind) for data that are empty, of different lengths, not numbers, or don't fit the model,
        and for targets that are NaN or outside the classes.
        """
        self._check_compiled("fit")
        epochs = _whole("epochs", epochs)
        batch_size = _whole("batch_size", batch_size)
        history = _callbacks.History()
        told = [*_listeners(callbacks), history, *_progress(verbose)]
        examples = self._examples(x, y, "x", "y")
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("validation_data must be a pair (x, y)")
            names = ("validation_data's x", "validation_data's y")
            validation = self._examples(*validation_data, *names)
        elif validation_split:
            examples, validation = _data.split(examples, validation_split)

        assert self.optimizer is not None
        self.optimizer.to(self._device())
        feed = Feed(examples, self._device(), batch_size)
        checked = None
        if validation is not None:
            checked = Feed(validation, self._device(), batch_size, beside=feed)
        for callback in told:
            callback.set_up(self, epochs, -(-feed.count // batch_size))
        self.history = history
        self.stop_training = False
        try:
            for callback in told:
                callback.on_train_begin()
            for epoch in range(epochs):
                for callback in told:
                    callback.on_epoch_begin(epoch)
                logs = self._train(feed, batch_size, shuffle, told)
                if checked is not None:
                    found = self._measure(checked, batch_size)
                    logs.update({f"val_{name}": value for name, value in found.items()})
                for callback in told:
                    callback.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        except KeyboardInterrupt:
            pass  # asked for: what has been learned stays
        finally:
            for callback in told:
                callback.on_train_end()
        return history

    @_at_home
    def evaluate(self, x: Any, y: Any, *, batch_size: int = 256) -> dict[str, float]:
        """The loss and the metrics on examples, by name, each a mean over all of them.

        Parameters and errors are those of ``fit``.
        """
        self._check_compiled("evaluate")
        batch_size = _whole("batch_size", batch_size)
        examples = self._examples(x, y, "x", "y")
        return self._measure(Feed(examples, self._device(), batch_size), batch_size)

    @_at_home
    def predict(self, x: Any, *, batch_size: int = 256) -> Tensor:
        """What the model gives for examples [N, ...], computed ``batch_size`` at a time.

        Parameters
        ----------
        x : as for ``fit``.

        Returns a tensor [N, ...]. Writes nothing, and needs no ``compile``.
        """
        batch_size = _whole("batch_size", batch_size)
        x = _data.inputs(x, "x", self._dtype())
        self._check_input(x)
        rows = x.to_numpy()
        parts = []
        for start in range(0, len(rows), batch_size):
            parts.append(self(_core.from_numpy(rows[start : start + batch_size]), training=False))
            _core.evaluate(parts[-1:])
        result = parts[0] if len(parts) == 1 else _core.concatenate(parts)
        _core.evaluate([result])
        return result

    # --- files ---------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one ``.safetensors`` file: weights, layers, and how the model was compiled.

        Raises ``ValueError`` for layers of your own that are not registered
        (``cx.layers.register``).
        """
        from pycyxwiz import _serialization

        _serialization.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """The model of a file that ``save`` wrote, ready to predict and, if compiled, to fit.

        Raises ``ValueError`` for a file that is damaged, is of another program, or whose weights
        don't fit its layers; ``FileNotFoundError`` when there is none.
        """
        from pycyxwiz import _serialization

        model = _serialization.load(path)
        if not isinstance(model, cls):
            raise ValueError(f"the file holds a {type(model).__name__}, not a {cls.__name__}")
        return model

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["plain"]["_steps"] = None  # Programs are made anew
        return state

    # --- helpers -------------------------------------------------------------------------------

    def _check_compiled(self, what: str) -> None:
        if self.objective is None or self.optimizer is None:
            raise RuntimeError(
                f"{what} needs a loss: call model.compile(optimizer=..., loss=...) first"
            )
        self.optimizer.serve(self)

    def _compiled_steps(self) -> Steps:
        if self._steps is None:
            self._steps = Steps([] if self.objective is None else self.objective.names)
        return self._steps

    def _check_layers(self) -> None:
        if not self.layers:
            raise ValueError("the model has no layers: add() some first")

    def _device(self) -> Device:
        """Where it computes: where its weights are."""
        first = next(iter(self.state().values()), None)
        return _core.default_device() if first is None else first.device

    def _dtype(self) -> Any:
        first = next(iter(self.parameters().values()), None)
        return _core.float32 if first is None else first.dtype

    def _check_input(self, x: Tensor) -> None:
        if type(self).forward is Model.forward:
            self._check_layers()
        shape = (None, *x.shape[1:])
        self.output_shape(shape)
        self._input = shape

    def _examples(self, x: Any, y: Any, x_name: str, y_name: str) -> tuple[Tensor, Tensor]:
        """Both as tensors that fit the model and its loss."""
        dtype = self._dtype()
        x = _data.inputs(x, x_name, dtype)
        self._check_input(x)
        output = outline(self, _core.zeros([1, *x.shape[1:]], x.dtype))
        if not isinstance(output, Tensor) or output.shape[:1] != (1,):
            raise ShapeError(f"the model must give a row for each example, not {output!r}")
        assert self.objective is not None
        targets = self.objective.targets(y, y_name, tuple(output.shape[1:]), dtype)
        if len(x) != len(targets):
            raise ValueError(
                f"{x_name} has {len(x)} examples, {y_name} has {len(targets)}: they must have as "
                "many"
            )
        return x, targets

    def _train(
        self,
        feed: Feed,
        batch_size: int,
        shuffle: bool,
        told: list[Callback],
    ) -> dict[str, float]:
        """One epoch; the means of the loss and the metrics over it."""
        steps = self._compiled_steps()
        order = _core.random_permutation(feed.count) if shuffle else None
        totals = steps.trained
        totals.reset()
        listening = [each for each in told if _listens(each)]
        due = dict.fromkeys(listening, 0.0)

        before = 0

        def report(done: int) -> None:
            now, done = perf_counter(), before + done
            for callback in listening:
                if now >= due[callback]:
                    due[callback] = now + callback.interval
                    callback.on_batch_end(-(-done // batch_size) - 1, totals.means(done))

        for examples, rows, count in feed.parts(order):
            run_batches(
                steps.train,
                (self, self.optimizer, self.objective, totals, *examples, rows),
                count,
                batch_size,
                report=report if listening else None,
                interval=min((each.interval for each in listening), default=0.0),
            )
            before += count
        return totals.means(feed.count)

    def _measure(self, feed: Feed, batch_size: int) -> dict[str, float]:
        """The means of the loss and the metrics over examples."""
        steps = self._compiled_steps()
        totals = steps.evaluated
        totals.reset()
        for examples, _, count in feed.parts():
            arguments = (self, self.objective, totals, *examples)
            run_batches(steps.evaluate, arguments, count, batch_size)
        return totals.means(feed.count)


def _shapes(layers: tuple[Layer, ...], shape: PartialShape) -> list[PartialShape]:
    """The shape that each layer gives. Raises ``InputShapeError`` for one that does not fit."""
    shapes = []
    for previous, layer in pairwise((None, *layers)):
        assert layer is not None
        try:
            shape = layer.output_shape(shape)
        except InputShapeError as error:
            raise _with_previous(error, previous, shape) from None
        shapes.append(shape)
    return shapes


def _through(layers: tuple[Layer, ...], functions: Iterable[Callable[[Any], Any]], x: Any) -> Any:
    previous = None
    for layer, function in zip(layers, functions, strict=True):
        try:
            x = function(x)
        except InputShapeError as error:
            if error.layer is not layer:
                raise
            raise _with_previous(error, previous, tuple(x.shape)) from None
        previous = layer
    return x


def _with_previous(
    error: InputShapeError, previous: Layer | None, shape: PartialShape
) -> InputShapeError:
    """The error with the layer that gave the shape."""
    if previous is not None:
        axes, *last = previous.output_shape(ANY_SHAPE)
        given = str(last[0]) if axes is ... and last else shape_text(shape)
        error.args = (f"{error}; the layer before it, {previous!r}, gives {given}",)
    return error


def _size(state: dict[str, Tensor]) -> int:
    return sum(tensor.size for tensor in state.values())


def _whole(name: str, value: Any) -> int:
    try:
        number = value.__index__()
    except AttributeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")
    return int(number)


def _progress(verbose: int) -> list[Callback]:
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}")
    shown: list[list[Callback]] = [[], [_callbacks.ProgressBar()], [_callbacks.ProgressLines()]]
    return shown[int(verbose)]


def _listeners(callbacks: Iterable[Callback] | None) -> list[Callback]:
    listeners = [callbacks] if isinstance(callbacks, _callbacks.Callback) else [*(callbacks or ())]
    for each in listeners:
        if not isinstance(each, _callbacks.Callback):
            raise TypeError(f"callbacks are objects of cx.callbacks.Callback, got {each!r}")
    return listeners


def _listens(callback: Callback) -> bool:
    return type(callback).on_batch_end is not _callbacks.Callback.on_batch_end
