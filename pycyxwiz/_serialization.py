"""A model as one ``.safetensors`` file: its tensors, and its architecture as JSON in the metadata.

Nothing is ever unpickled: a file can name registered classes and give them numbers, strings and
lists.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from pycyxwiz import _core, losses, metrics
from pycyxwiz._config import decode, encode
from pycyxwiz.layers.activations import FUNCTIONS

if TYPE_CHECKING:
    from pycyxwiz.model import Model

_KEY = "pycyxwiz"
_VERSION = 1


def save(model: Model, path: str | os.PathLike[str]) -> None:
    import json

    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    described = {
        "version": _VERSION,
        "model": encode(model, FUNCTIONS),
        "compile": _encode_compile(model),
    }
    state = model.state()
    _core.evaluate(list(state.values()))
    arrays = {name: tensor.to_numpy() for name, tensor in state.items()}
    # Written beside the file and moved there whole: a failure leaves the old file as it was.
    path = os.fspath(path)
    partial = f"{path}.{os.getpid()}.part"
    try:
        save_file(arrays, partial, metadata={_KEY: json.dumps(described)})
        os.replace(partial, path)
    except SafetensorError as error:
        raise OSError(f"can't write {path!r}: {error}") from None
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _encode_compile(model: Model) -> dict[str, Any] | None:
    objective = model.objective
    if objective is None:
        return None
    try:
        return {
            "optimizer": encode(model.optimizer, {}),
            "loss": encode(objective.loss, losses.BY_NAME),
            "metrics": encode(list(objective.metrics.values()), metrics.BY_NAME),
        }
    except ValueError as error:
        warnings.warn(
            f"the file will not hold how the model was compiled ({error}): compile it again after "
            "loading",
            UserWarning,
            stacklevel=4,
        )
        return None


def load(path: str | os.PathLike[str]) -> Model:
    import json

    from safetensors import SafetensorError, safe_open

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no model file {path!r}")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path!r} is no safetensors file, or a damaged one: {error}") from None
    if text is None:
        raise ValueError(
            f"{path!r} is a safetensors file of another program: it describes no pycyxwiz model"
        )
    # Building draws first weights, which are replaced: the user's random numbers go on as if it
    # didn't.
    random_state = _core.random_state()
    try:
        described = json.loads(text)
        if described["version"] > _VERSION:
            raise ValueError("it was written by a newer version of pycyxwiz")
        model = _decode_model(described)
        model.load_state(state)
        if described["compile"] is not None:
            model.compile(**{name: decode(part) for name, part in described["compile"].items()})
    except Exception as error:  # whatever a file that we didn't write makes a constructor raise
        raise ValueError(f"{path!r} can't be loaded: {error}") from error
    finally:
        _core.random_set_state(*random_state)
    return model


def _decode_model(described: dict[str, Any]) -> Model:
    from pycyxwiz.model import Model

    model = decode(described["model"])
    if not isinstance(model, Model):
        raise ValueError(f"it describes a {type(model).__name__}, not a Model")
    return model
