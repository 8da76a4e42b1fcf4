"""Training: an epoch of a small MLP, and steps of a small convolutional network.

Every contender starts from its own random weights and goes on training from call to call; what is
compared before timing is that the first epoch taught it the task. All draw a new order of the rows
for each epoch and gather their batches from one array in memory, the fastest way for each of them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.row import Contender, Row, Run, at_least

EXAMPLES, FEATURES, HIDDEN, CLASSES = 60_000, 784, 128, 10
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8

Epoch = Callable[[], None]
Predict = Callable[[np.ndarray], np.ndarray]


def task() -> dict[str, np.ndarray]:
    """As large as the classic digits: 60,000 rows of 784 numbers, in ten classes.

    Noise around ten faint patterns: learnable, but not so well that gradients vanish.
    """
    rng = np.random.default_rng(0)
    patterns = 0.04 * rng.standard_normal((CLASSES, FEATURES), np.float32)
    y = rng.integers(0, CLASSES, EXAMPLES + 2_000)
    x = rng.random((EXAMPLES + 2_000, FEATURES), np.float32)
    x += patterns[y]
    return {
        "x": x[:EXAMPLES],
        "y": y[:EXAMPLES],
        "x_test": x[EXAMPLES:],
        "y_test": y[EXAMPLES:],
    }


def trained(data: dict[str, np.ndarray], epoch: Epoch, predict: Predict) -> Run:
    """An epoch a call; the first returns the accuracy on unseen rows."""
    calls = 0

    def run() -> Any:
        nonlocal calls
        epoch()
        calls += 1
        if calls == 1:
            return np.mean(predict(data["x_test"]) == data["y_test"])
        return None

    return run


# --- pycyxwiz ------------------------------------------------------------------------------------


def mlp_cx(batch: int, data: dict[str, np.ndarray]) -> Run:
    import pycyxwiz as cx

    model = cx.Model(
        [
            cx.layers.Dense(FEATURES, HIDDEN, activation="relu"),
            cx.layers.Dense(HIDDEN, CLASSES, activation="softmax"),
        ]
    )
    model.compile(optimizer=cx.optimizers.Adam(learning_rate=RATE), loss="cross_entropy")
    x, y = cx.from_numpy(data["x"]), cx.from_numpy(data["y"])

    def epoch() -> None:
        model.fit(x, y, epochs=1, batch_size=batch, verbose=0)

    return trained(data, epoch, lambda rows: np.asarray(model.predict(rows)).argmax(axis=1))


# --- NumPy, by hand: no array is made inside the loop ---------------------------------------------


def mlp_numpy(batch: int, data: dict[str, np.ndarray]) -> Run:
    x, y = data["x"], data["y"]
    rng = np.random.default_rng(1)

    # All parameters in one flat array, so that Adam is a few passes over one array.
    sizes = [FEATURES * HIDDEN, HIDDEN, HIDDEN * CLASSES, CLASSES]
    ends = np.cumsum(sizes)
    flat, gradient, mean, square, scratch = np.zeros((5, ends[-1]), np.float32)

    def split(vector: np.ndarray) -> Iterator[np.ndarray]:
        shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
        for end, size, shape in zip(ends, sizes, shapes, strict=True):
            yield vector[end - size : end].reshape(shape)

    (w1, b1, w2, b2), (dw1, db1, dw2, db2) = split(flat), split(gradient)
    w1[:] = rng.uniform(-1, 1, w1.shape) * (6 / (FEATURES + HIDDEN)) ** 0.5
    w2[:] = rng.uniform(-1, 1, w2.shape) * (6 / (HIDDEN + CLASSES)) ** 0.5

    xb = np.empty((batch, FEATURES), np.float32)
    hidden, d_hidden = np.empty((2, batch, HIDDEN), np.float32)
    logits = np.empty((batch, CLASSES), np.float32)
    positions = np.arange(batch)
    steps = 0

    def step(rows: np.ndarray) -> None:
        nonlocal steps
        n = len(rows)
        a, h, dh, z = xb[:n], hidden[:n], d_hidden[:n], logits[:n]
        np.take(x, rows, axis=0, out=a, mode="clip")  # "raise" would go through a buffer
        np.matmul(a, w1, out=h)
        np.add(h, b1, out=h)
        np.maximum(h, 0, out=h)
        np.matmul(h, w2, out=z)
        np.add(z, b2, out=z)
        # The gradient of the mean cross-entropy at the logits: (softmax - one-hot) / n.
        np.subtract(z, z.max(axis=1, keepdims=True), out=z)
        np.exp(z, out=z)
        np.divide(z, z.sum(axis=1, keepdims=True), out=z)
        z[positions[:n], y[rows]] -= 1
        np.multiply(z, np.float32(1 / n), out=z)
        np.matmul(h.T, z, out=dw2)
        np.sum(z, axis=0, out=db2)
        np.matmul(z, w2.T, out=dh)
        np.multiply(dh, h > 0, out=dh)
        np.matmul(a.T, dh, out=dw1)
        np.sum(dh, axis=0, out=db1)
        steps += 1
        np.multiply(mean, BETA1, out=mean)
        np.multiply(gradient, 1 - BETA1, out=scratch)
        np.add(mean, scratch, out=mean)
        np.multiply(square, BETA2, out=square)
        np.multiply(gradient, gradient, out=scratch)
        np.multiply(scratch, 1 - BETA2, out=scratch)
        np.add(square, scratch, out=square)
        # Both bias corrections, moved into the rate and into epsilon.
        correction = (1 - BETA2**steps) ** 0.5
        np.sqrt(square, out=scratch)
        np.add(scratch, EPSILON * correction, out=scratch)
        np.divide(mean, scratch, out=scratch)
        np.multiply(scratch, RATE * correction / (1 - BETA1**steps), out=scratch)
        np.subtract(flat, scratch, out=flat)

    def epoch() -> None:
        order = rng.permutation(EXAMPLES)
        for start in range(0, EXAMPLES, batch):
            step(order[start : start + batch])

    def predict(rows: np.ndarray) -> np.ndarray:
        return (np.maximum(rows @ w1 + b1, 0) @ w2 + b2).argmax(axis=1)

    return trained(data, epoch, predict)


# --- PyTorch -------------------------------------------------------------------------------------


def torch_with_threads() -> Any:
    import os

    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    return torch


def mlp_torch(batch: int, data: dict[str, np.ndarray], **adam: Any) -> Run:
    torch = torch_with_threads()
    nn = torch.nn
    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    model = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, **adam)

    def epoch() -> None:
        for rows in torch.randperm(EXAMPLES).split(batch):
            loss = loss_of(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def predict(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(rows)).argmax(1).numpy()

    return trained(data, epoch, predict)


# --- JAX, by hand: a jitted step, and a scan over the whole epoch ---------------------------------


def mlp_jax(batch: int, data: dict[str, np.ndarray], *, scan: bool) -> Run:
    import jax
    import jax.numpy as jnp

    x, y = jax.device_put(data["x"]), jax.device_put(data["y"].astype(np.int32))
    k1, k2, key = jax.random.split(jax.random.key(0), 3)
    glorot = jax.nn.initializers.glorot_uniform()
    parameters = [
        glorot(k1, (FEATURES, HIDDEN)),
        jnp.zeros(HIDDEN),
        glorot(k2, (HIDDEN, CLASSES)),
        jnp.zeros(CLASSES),
    ]
    state = (
        parameters,
        [jnp.zeros_like(p) for p in parameters],
        [jnp.zeros_like(p) for p in parameters],
        jnp.zeros((), jnp.int32),
    )

    def logits_of(parameters: Any, rows: Any) -> Any:
        w1, b1, w2, b2 = parameters
        return jax.nn.relu(rows @ w1 + b1) @ w2 + b2

    def loss_of(parameters: Any, rows: Any, labels: Any) -> Any:
        scores = jax.nn.log_softmax(logits_of(parameters, rows))
        return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()

    def step(state: Any, rows: Any, x: Any, y: Any) -> Any:
        parameters, means, squares, steps = state
        gradients = jax.grad(loss_of)(parameters, x[rows], y[rows])
        steps = steps + 1
        correction = jnp.sqrt(1 - BETA2**steps)
        rate = RATE * correction / (1 - BETA1**steps)
        means = [BETA1 * m + (1 - BETA1) * g for m, g in zip(means, gradients, strict=True)]
        squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, gradients, strict=True)]
        parameters = [
            p - rate * m / (jnp.sqrt(v) + EPSILON * correction)
            for p, m, v in zip(parameters, means, squares, strict=True)
        ]
        return parameters, means, squares, steps

    @partial(jax.jit, donate_argnums=0)
    def one_step(state: Any, order: Any, i: Any, x: Any, y: Any) -> Any:
        return step(state, jax.lax.dynamic_slice(order, (i * batch,), (batch,)), x, y)

    @partial(jax.jit, donate_argnums=0)
    def whole_epoch(state: Any, order: Any, x: Any, y: Any) -> Any:
        batches = order[: EXAMPLES // batch * batch].reshape(-1, batch)
        return jax.lax.scan(lambda s, rows: (step(s, rows, x, y), None), state, batches)[0]

    last = jax.jit(step, donate_argnums=0)

    def epoch() -> None:
        nonlocal state, key
        key, now = jax.random.split(key)
        order = jax.random.permutation(now, EXAMPLES)
        if scan:
            state = whole_epoch(state, order, x, y)
        else:
            for i in range(EXAMPLES // batch):
                state = one_step(state, order, i, x, y)
        if EXAMPLES % batch:
            state = last(state, order[EXAMPLES // batch * batch :], x, y)
        jax.block_until_ready(state)

    def predict(rows: np.ndarray) -> np.ndarray:
        return np.asarray(logits_of(state[0], rows).argmax(axis=1))

    return trained(data, epoch, predict)


# --- Keras and scikit-learn ----------------------------------------------------------------------


def mlp_keras(batch: int, data: dict[str, np.ndarray], **compile_options: Any) -> Run:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(HIDDEN, activation="relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **compile_options,
    )

    def epoch() -> None:
        model.fit(data["x"], data["y"], epochs=1, batch_size=batch, verbose=0)

    return trained(data, epoch, lambda rows: model.predict(rows, verbose=0).argmax(axis=1))


def mlp_sklearn(batch: int, data: dict[str, np.ndarray]) -> Run:
    from sklearn.neural_network import MLPClassifier

    # max_iter=1 and warm_start: each call of fit is one more epoch.
    model = MLPClassifier(
        (HIDDEN,),
        alpha=0.0,
        batch_size=batch,
        learning_rate_init=RATE,
        max_iter=1,
        random_state=0,
        warm_start=True,
    )
    return trained(data, lambda: model.fit(data["x"], data["y"]), model.predict)


def mlp_row(name: str, batch: int, floors: dict[str, float]) -> Row:
    def with_batch(contender: Callable[..., Run], **options: Any) -> Contender:
        return partial(contender, batch, **options)

    return Row(
        name=name,
        title=f"MLP epoch, 60,000 × 784, Adam, batch {batch}",
        data=task,
        contenders={
            "pycyxwiz": with_batch(mlp_cx),
            "numpy": with_batch(mlp_numpy),
            "torch": with_batch(mlp_torch),
            "torch:fused": with_batch(mlp_torch, fused=True),
            "jax": with_batch(mlp_jax, scan=False),
            "jax:scan": with_batch(mlp_jax, scan=True),
            "keras": with_batch(mlp_keras),
            "keras:32-steps": with_batch(mlp_keras, steps_per_execution=32),
            "sklearn": with_batch(mlp_sklearn),
        },
        floors=floors,
        check=at_least(0.8, "accuracy"),
        rounds=5,
        # Forward, the gradients of all weights, and that of the hidden layer.
        operations=2 * EXAMPLES * (2 * (FEATURES * HIDDEN + HIDDEN * CLASSES) + HIDDEN * CLASSES),
        # Every row once, and in every step seven words for each parameter: Adam's.
        traffic=4 * EXAMPLES * FEATURES + 28 * (EXAMPLES / batch) * (FEATURES + CLASSES) * HIDDEN,
        why="two threads meet some ten times in a step of some hundred µs",
    )


# --- A convolutional network ---------------------------------------------------------------------

IMAGES, SIDE, CNN_BATCH = 512, 28, 64


def image_task() -> dict[str, np.ndarray]:
    """Noisy images of ten random patterns: enough to see that a network learns."""
    rng = np.random.default_rng(0)
    patterns = rng.random((CLASSES, SIDE, SIDE), np.float32)
    y = rng.integers(0, CLASSES, IMAGES + 200)
    x = patterns[y] + 0.3 * rng.standard_normal((IMAGES + 200, SIDE, SIDE), np.float32)
    return {"x": x[:IMAGES], "y": y[:IMAGES], "x_test": x[IMAGES:], "y_test": y[IMAGES:]}


def five_first(epoch: Epoch) -> Epoch:
    """The first call trains for five epochs: one of eight steps would teach too little to check."""
    first = True

    def run() -> None:
        nonlocal first
        for _ in range(5 if first else 1):
            epoch()
        first = False

    return run


def cnn_cx(data: dict[str, np.ndarray]) -> Run:
    import pycyxwiz as cx

    model = cx.Model(
        [
            cx.layers.Conv2D(1, 32, 3, activation="relu"),
            cx.layers.Conv2D(32, 64, 3, activation="relu"),
            cx.layers.MaxPool2D(2),
            cx.layers.Flatten(),
            cx.layers.Dense(64 * 12 * 12, 128, activation="relu"),
            cx.layers.Dense(128, CLASSES, activation="softmax"),
        ]
    )
    model.compile(optimizer=cx.optimizers.Adam(learning_rate=RATE), loss="cross_entropy")
    x, y = cx.from_numpy(data["x"][:, None]), cx.from_numpy(data["y"])

    def epoch() -> None:
        model.fit(x, y, epochs=1, batch_size=CNN_BATCH, verbose=0)

    def predict(rows: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(rows[:, None])).argmax(axis=1)

    return trained(data, five_first(epoch), predict)


def cnn_torch(data: dict[str, np.ndarray], *, memory_format: str) -> Run:
    torch = torch_with_threads()
    nn = torch.nn
    layout = getattr(torch, memory_format)
    x = torch.from_numpy(data["x"])[:, None].contiguous(memory_format=layout)
    y = torch.from_numpy(data["y"])
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    ).to(memory_format=layout)
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(IMAGES).split(CNN_BATCH):
            loss = loss_of(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def predict(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(rows)[:, None]).argmax(1).numpy()

    return trained(data, five_first(epoch), predict)


def cnn_keras(data: dict[str, np.ndarray]) -> Run:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x = data["x"][..., None]

    def epoch() -> None:
        model.fit(x, data["y"], epochs=1, batch_size=CNN_BATCH, verbose=0)

    def predict(rows: np.ndarray) -> np.ndarray:
        return model.predict(rows[..., None], verbose=0).argmax(axis=1)

    return trained(data, five_first(epoch), predict)


ROWS = [
    mlp_row(
        "mlp-epoch",
        32,
        {
            "keras": 2.8,
            "jax:scan": 1.7,
            "torch:fused": 5.0,
            "torch": 7.0,
            "sklearn": 7.0,
            "numpy": 12.0,
        },
    ),
    mlp_row(
        "mlp-epoch-128", 128, {"keras": 2.6, "jax:scan": 1.6, "torch:fused": 2.8, "sklearn": 4.5}
    ),
    Row(
        name="cnn-step",
        title="CNN step: 28 × 28, conv 32, conv 64, pool, dense 128, batch 64",
        data=image_task,
        contenders={
            "pycyxwiz": cnn_cx,
            "torch": partial(cnn_torch, memory_format="contiguous_format"),
            "torch:channels-last": partial(cnn_torch, memory_format="channels_last"),
            "keras": cnn_keras,
        },
        floors={"torch": 1.5, "torch:channels-last": 1.5, "keras": 6.0},
        check=at_least(0.8, "accuracy"),
        per=IMAGES // CNN_BATCH,
        rounds=7,
        # Three products for each layer, but for the gradient of the images.
        operations=2
        * CNN_BATCH
        * (2 * 26 * 26 * 32 * 9 + 3 * (24 * 24 * 64 * 32 * 9 + 64 * 12 * 12 * 128 + 128 * CLASSES)),
        # Activations once forward and twice backward, and Adam's seven words for each parameter.
        traffic=12 * CNN_BATCH * (26 * 26 * 32 + 24 * 24 * 64 + 12 * 12 * 64)
        + 28 * 64 * 12 * 12 * 128,
        why="convolutions reach less of the peak than products, and Adam over 1.2 million weights "
        "is bound by memory",
    ),
]
