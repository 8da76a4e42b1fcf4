"""Every device gives what the CPU gives: one suite, for each device that is here.

The devices are "xla:cpu", and ArrayFire's where its library is; CYXWIZ_TEST_DEVICES names others
(cuda:0, say). Each test makes one Program of many cases, since engines take long to compile.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import BY_NAME, OPERATIONS, Array, Operation, tolerance
from pycyxwiz import _core, backends
from test_ops import DIFFERENTIABLE, draw, generator, weighted

NAMES = [operation.name for operation in OPERATIONS]


def found_devices() -> list[Any]:
    named = os.environ.get("CYXWIZ_TEST_DEVICES", "").replace(",", " ").split()
    return named or [
        "xla:cpu",
        *(
            pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=missing))
            for name, missing in arrayfire_devices()
        ),
    ]


def arrayfire_devices() -> list[tuple[str, str]]:
    """ArrayFire's devices, or one that says why there are none."""
    for engine in backends.engines():
        if engine.name == "arrayfire":
            reasons = [engine.missing(kind) for kind in engine.kinds]
            if all(reasons):
                return [("arrayfire", str(reasons[0]))]
            backends.load(engine)
            return [(str(d), "") for d in cx.get_devices() if d.backend == "arrayfire"]
    return []


@pytest.fixture(params=found_devices(), scope="module")
def there(request):
    return cx.get_device(request.param)


def on(device: Any, arrays: list[Array]) -> list[Any]:
    with cx.device(device):
        return [cx.Tensor(array) for array in arrays]


def agree(got: Any, expected: Any, times: float = 1.0, **more: Any) -> None:
    """Equal to the CPU's result, up to the rounding of the engine's own functions."""
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    limits = {name: times * limit for name, limit in tolerance(expected.dtype).items()}
    np.testing.assert_allclose(got.to_numpy(), expected.to_numpy(), **limits, **more)


def dtypes_of(operation: Operation) -> list[str]:
    return list(operation.dtypes)


# --- every op -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_gives_what_the_cpu_gives(there, name):
    operation = BY_NAME[name]
    rng = generator("conformance", name)
    here, far, labels = [], [], []
    for dtype in operation.dtypes:
        arrays, options = draw(operation, dtype, rng)
        labels.append(f"{dtype} {[a.shape for a in arrays]} {options}")
        here.append(operation(*on("cpu", arrays), **options))
        far.append(operation(*on(there, arrays), **options))
    if operation.empty is not None:
        shapes, options = operation.empty()
        dtype = operation.dtypes[0]
        arrays = [np.zeros(shape, dtype) for shape in shapes]
        labels.append(f"{dtype} {shapes} {options}")
        here.append(operation(*on("cpu", arrays), **options))
        far.append(operation(*on(there, arrays), **options))
    cx.eval(here), cx.eval(far)
    for got, expected, label in zip(far, here, labels, strict=True):
        assert got.device == there
        agree(got, expected, times=2, err_msg=label)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_derivative_is_what_the_cpu_gives(there, name):
    operation = BY_NAME[name]
    rng = generator("conformance derivative", name)
    results: dict[str, list[Any]] = {"cpu": [], str(there): []}
    for _ in range(2):
        arrays, options = draw(operation, "float64", rng)
        weights = rng.normal(size=operation.expected(*arrays, **options).shape)
        wanted = [i for i, a in enumerate(arrays) if a.dtype == np.float64]
        directions = [rng.normal(size=arrays[i].shape) for i in wanted]
        fixed = {i: a for i, a in enumerate(arrays) if i not in wanted}
        argnums = tuple(range(len(wanted)))
        for device, found in results.items():
            with cx.device(device):
                function = weighted(operation, weights, options, fixed)

                def slope(*xs: Any) -> Any:
                    gradients = cx.grad(function, argnums=argnums)(*xs)
                    found.extend(gradients)
                    return sum(
                        cx.sum(g * cx.Tensor(d)) for g, d in zip(gradients, directions, strict=True)
                    )

                found += cx.grad(slope, argnums=argnums)(*(cx.Tensor(arrays[i]) for i in wanted))
    for found in results.values():
        cx.eval(found)
    for got, expected in zip(results[str(there)], results["cpu"], strict=True):
        agree(got, expected, times=20)


def test_every_op_of_the_core_has_an_entry_or_a_stated_reason(there):
    backend = next(b for b in backends.loaded() if b.name == there.backend)
    names = set(_core.op_names())
    assert set(backend.ops) | set(backend.reasons) == names
    assert not set(backend.ops) & set(backend.reasons)
    assert all(len(reason) > 20 for reason in backend.reasons.values())


def test_a_program_meets_every_op_of_the_core():
    """What the table of operations draws covers the instructions that backends get."""
    import reference_backend

    if "reference" not in [engine.name for engine in backends.engines()]:
        backends.register(reference_backend.ENGINE)
    seen = reference_backend.BACKEND.seen
    seen.clear()
    with cx.device("reference:0"):
        for name in NAMES:
            rng = generator("seen", name)
            arrays, options = draw(BY_NAME[name], BY_NAME[name].dtypes[0], rng)
            cx.eval(BY_NAME[name](*on("reference:0", arrays), **options))
        for name in ("conv2d", "max_pool2d", "avg_pool2d", "take", "matmul"):
            arrays, options = draw(BY_NAME[name], "float32", generator("seen", name))
            inputs = on("reference:0", arrays)
            function = lambda *xs: cx.sum(cx.square(BY_NAME[name](*xs, **options)))
            argnums = tuple(range(len(inputs)))
            first = lambda *xs: sum(cx.sum(cx.square(g)) for g in cx.grad(function, argnums)(*xs))
            cx.eval(cx.grad(first, argnums)(*inputs))
        x = cx.arange(6) + 0
        cx.eval(cx.random.permutation(5), cx.random.uniform([3]), x.astype("float32"))
        x[1:5:2] = 7
        cx.eval(x, x[::-2], cx.grad(lambda x: cx.sum(cx.stop_gradient(x) * x))(cx.ones(3)))
    # "copy" is how the CPU backend makes a view into a value of its own; no graph has it.
    assert set(_core.op_names()) - seen == {"copy"}


# --- what numbers mean ----------------------------------------------------------------------------

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1.5, -2.5, 0.5])


def test_nan_and_infinity_go_through_as_on_the_cpu(there):
    names = ["maximum", "minimum", "add", "divide", "power", "remainder", "floor_divide"]
    singles = ["relu", "sign", "round", "floor", "exp", "log", "sqrt", "sigmoid", "softplus"]
    singles += ["tanh", "isnan", "isinf", "isfinite", "abs", "max", "min", "argmax", "argmin"]
    pairs = np.stack(np.meshgrid(SPECIAL, SPECIAL)).reshape(2, -1).astype(np.float32)
    results = []
    for device in ("cpu", there):
        a, b = on(device, [pairs[0], pairs[1]])
        found = [getattr(cx, name)(a, b) for name in names]
        found += [getattr(cx, name)(a) for name in singles]
        found += [cx.argmax(a.reshape(10, 10), axis=1), cx.max(a.reshape(10, 10), axis=0)]
        cx.eval(found)
        results.append(found)
    for name, here, far in zip([*names, *singles, "argmax", "max"], *results, strict=True):
        agree(far, here, err_msg=name)


def test_integers_wrap_and_divide_as_on_the_cpu(there):
    results = []
    for device in ("cpu", there):
        found = []
        for dtype in ("int8", "uint8", "int16", "int32", "int64"):
            limits = np.iinfo(dtype)
            edge = np.array([limits.min, limits.max, 0, 1, 3, limits.max - 1], dtype)
            a, b = on(device, [x.ravel() for x in np.meshgrid(edge, edge)])
            found += [a + b, a * b, a - b, a // b, a % b, cx.absolute(a), cx.square(a), -a]
            found += [a ** cx.minimum(cx.absolute(b % 5), 5), a.astype("int8"), a.astype("uint8")]
        found.append(
            on(device, [np.array([1.7, -1.7, 100.5, -3.2], np.float32)])[0].astype("uint8")
        )
        cx.eval(found)
        results.append(found)
    for here, far in zip(*results, strict=True):
        agree(far, here)


def test_random_bits_are_the_cpus_and_drawn_values_equal_to_rounding(there):
    found = []
    for device in ("cpu", there):
        with cx.device(device):
            cx.random.seed(11)
            exact = [cx.random.uniform([1001]), cx.random.uniform([7, 3], dtype="float64")]
            exact += [cx.random.permutation(1000), cx.random.randint(-5, 5, [50])]
            exact += [cx.random.bernoulli(0.3, [100])]
            near = [cx.random.normal([1001]), cx.random.normal([5], dtype="float64")]
            cx.eval(exact, near)
            found.append((exact, near))
    for here, far in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(far.to_numpy(), here.to_numpy())
    for here, far in zip(found[0][1], found[1][1], strict=True):
        agree(far, here, times=4)


def test_a_compiled_function_draws_the_cpus_numbers_at_each_run(there):
    drawn = cx.compile(lambda x: x + cx.random.uniform([4]) + cx.random.permutation(4))
    found = []
    for device in ("cpu", there):
        cx.random.seed(5)
        (x,) = on(device, [np.zeros(4, np.float32)])
        found.append([drawn(x).tolist() for _ in range(3)])
    assert found[0] == found[1] and found[0][0] != found[0][1]


def test_an_index_outside_is_an_error_every_time_it_is_read(there):
    (x, i) = on(there, [np.array([10, 20, 30]), np.array([0, 3])])
    taken = cx.take(x, i) + 1
    message = (
        r"take: index 3 \(at position 1 of the indices\) is out of bounds for an axis of size 3"
    )
    for _ in range(2):
        with pytest.raises(IndexError, match=message):
            taken.tolist()
    with pytest.raises(IndexError, match=message):
        (taken * 2).tolist()
    assert cx.take(x, i - 1).tolist() == [30, 30] and (x + 1).tolist() == [11, 21, 31]


def test_dtypes_keep_their_64_bits(there):
    (x, y) = on(there, [np.array([2**60 + 1]), np.array([1 + 2**-50])])
    assert (x + 1).tolist() == [2**60 + 2] and (y * 1.0 - 1).tolist() == [2**-50]


# --- whole trainings ------------------------------------------------------------------------------


def model() -> cx.Model:
    cx.random.seed(3)
    return cx.Model(
        [
            cx.layers.Conv2D(1, 4, 3, activation="relu"),
            cx.layers.MaxPool2D(2),
            cx.layers.Flatten(),
            cx.layers.Dense(36, 32, activation="relu"),
            cx.layers.Dropout(0.1),
            cx.layers.Dense(32, 10, activation="softmax"),
        ]
    )


def digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images[:, None] / 16).astype(np.float32), data.target


def trained(device: Any) -> float:
    x, y = digits()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    with cx.device(device):
        net = model()
        net.compile(optimizer=cx.optimizers.Adam(lr=0.01), loss="cross_entropy", metrics="accuracy")
        net.fit(x[:1000], y[:1000], epochs=15, batch_size=50, verbose=0)
        assert {t.device for t in net.state().values()} == {cx.get_device(device)}
        accuracy = net.evaluate(x[1000:], y[1000:])["accuracy"]
        right = np.asarray(net.predict(x[1000:])).argmax(1) == y[1000:]
        assert right.mean() == pytest.approx(accuracy, abs=1e-6)
    return accuracy


def test_digits_are_learnt_as_well_as_on_the_cpu(there):
    here, far = trained("cpu"), trained(there)
    print(f"accuracy: {here:.4f} on the cpu, {far:.4f} on {there}")
    assert here > 0.93 and abs(far - here) <= 0.005


def test_one_steps_gradients_from_equal_weights_are_equal(there):
    x, y = digits()
    found = []
    for device in ("cpu", there):
        with cx.device(device):
            net = model()
            batch, labels = cx.Tensor(x[:64]), cx.Tensor(y[:64])

            def loss(net: cx.Model) -> Any:
                return cx.losses.cross_entropy(net.logits(batch), labels, from_logits=True)

            value, gradients = cx.compile(cx.value_and_grad(loss))(net)
            found.append({"loss": value, **gradients})
    assert found[0].keys() == found[1].keys() and len(found[0]) == 7
    for name, here in found[0].items():
        scale = float(np.abs(here.to_numpy()).max())
        np.testing.assert_allclose(
            found[1][name].to_numpy(), here.to_numpy(), rtol=1e-5, atol=1e-5 * scale, err_msg=name
        )


# --- staying whole --------------------------------------------------------------------------------


def test_ten_thousand_programs_leave_no_memory_behind(there):
    (x, step) = on(there, [np.ones((64, 64), np.float32), np.full((64, 64), 0.001, np.float32)])
    add = cx.compile(lambda x, step, k: x * k + step, donate_argnums=0)

    def run(count: int) -> None:
        nonlocal x
        for i in range(count):
            x = add(x, step, 0.5 + (i % 7) / 10)
        cx.eval(x)
        gc.collect()

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    run(1000)
    allocated, before = cx.memory.stats(there)["allocated"], resident()
    run(10_000)
    assert cx.memory.stats(there)["allocated"] == allocated
    assert resident() - before < 16 << 20  # 10,000 leaked results would be 160 MB
    assert np.isfinite(x.to_numpy()).all()


def test_programs_that_fall_out_of_the_cache_leave_no_memory_behind(there):
    (x,) = on(there, [np.ones(8, np.float32)])
    allocated = cx.memory.stats(there)["allocated"]
    for n in range(1, 20):
        assert cx.sum(cx.concatenate([x] * n)).item() == 8 * n
    gc.collect()
    assert cx.memory.stats(there)["allocated"] == allocated


CONTRACT = Path(__file__).parents[2] / "shared" / "contract" / "test_seed_contract.py"
OF_THE_CPU = [  # they name the CPU itself, or its memory
    "test_repr_names_shape_and_device",
    "test_print_shows_the_header_and_the_values",
    "test_device_is_named",
    "test_conversion_shares_memory_both_ways",
]


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract's tests are not beside the project")
def test_the_seeds_contract_holds_on_the_device(there):
    # Relative to the root: pytest compares what is left out with the tests' ids as they are.
    left_out = [f"--deselect={CONTRACT.name}::{name}" for name in OF_THE_CPU]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(CONTRACT.parent), *left_out]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(CONTRACT)],
        env=os.environ | {"CYXWIZ_DEVICE": str(there)},
        cwd=CONTRACT.parent,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(OF_THE_CPU)} deselected" in done.stdout
