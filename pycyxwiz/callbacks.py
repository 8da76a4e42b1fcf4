"""Callbacks: what ``model.fit`` tells while it trains. Subclass ``Callback`` to listen."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pycyxwiz.model import Model

__all__ = ["Callback", "History", "ProgressBar", "ProgressLines"]


class Callback:
    """Does nothing at any event; override those you need.

    While fit runs, ``self.model`` is the model, ``self.epochs`` the number of epochs and
    ``self.batches`` the number of batches in each. ``logs`` maps the names of the loss and the
    metrics to floats, those of the validation data with ``val_`` before them. Setting
    ``self.model.stop_training = True`` ends fit after the epoch.

    >>> class Tell(cx.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    >>> model = cx.Model([cx.layers.Dense(1, 1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [[2.0]], callbacks=[Tell()], verbose=0)
    0 ['loss']
    """

    interval: ClassVar[float] = 0.0
    """``on_batch_end`` is called at most once in so many seconds."""

    epochs: int
    batches: int
    _model: weakref.ref[Model]

    @property
    def model(self) -> Model:
        """The model in training."""
        model = self._model() if hasattr(self, "_model") else None
        if model is None:
            raise RuntimeError("the callback's model is gone")
        return model

    def set_up(self, model: Model, epochs: int, batches: int) -> None:
        """Called by fit before anything else."""
        # Not a reference: a model keeps its History, and would otherwise keep itself alive.
        self._model = weakref.ref(model)
        self.epochs = epochs
        self.batches = batches

    def __getstate__(self) -> dict[str, Any]:
        # A copy belongs to no model yet: that reference can't be pickled.
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch, also when fit is interrupted or fails."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch and its validation; the model has the weights of now."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """After a batch, counted from 0, with the means over the epoch so far.

        Overriding this costs speed: the weights are handed to the model after every batch. A
        subclass may set ``interval``, in seconds, to be called less often.
        """


class History(Callback):
    """The record of a training, which ``model.fit`` returns.

    Attributes
    ----------
    history : dict from the name of each log to the list of its values, one for each epoch.
    epoch : the epochs' numbers, counted from 0.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history)}>"


class ProgressBar(Callback):
    """A bar for each epoch; what ``verbose=1`` shows."""

    interval = 0.1

    def __init__(self) -> None:
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int) -> None:
        from tqdm.std import tqdm

        class Bar(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0  # starts no thread

        self._bar = Bar(total=self.batches, desc=f"Epoch {epoch + 1}/{self.epochs}", unit="batch")

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self._show(batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self._show(self.batches, logs)
        self._close()

    def on_train_end(self) -> None:
        self._close()

    def _show(self, done: int, logs: dict[str, float]) -> None:
        self._bar.set_postfix_str(_line(logs), refresh=False)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class ProgressLines(Callback):
    """A line for each epoch; what ``verbose=2`` writes."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        sys.stdout.write(f"Epoch {epoch + 1}/{self.epochs}: {_line(logs)}\n")
        sys.stdout.flush()


def _line(logs: dict[str, float]) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in logs.items())
