"""Drivers over ops_table: each property of an operation is tested once, for all operations."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import (
    BY_NAME,
    DIFFERENCE,
    FLOATS,
    METHODS_OF_THEIR_OWN,
    NOT_OPERATIONS,
    OPERATIONS,
    Array,
    Operation,
    laid_out,
    promoted,
    tolerance,
)
from pycyxwiz import _core

NAMES = [operation.name for operation in OPERATIONS]
DRAWS = 6


def generator(*parts: object) -> np.random.Generator:
    """The same numbers for the same test, in every run."""
    return np.random.default_rng(zlib.crc32(repr(parts).encode()))


def draw(
    operation: Operation, dtype: str, rng: np.random.Generator
) -> tuple[list[Array], dict[str, Any]]:
    shapes, options = operation.case(rng)
    return fill(operation, shapes, dtype, rng), options


def fill(
    operation: Operation, shapes: list[Any], dtype: str, rng: np.random.Generator
) -> list[Array]:
    domains = operation.domains * len(shapes) if len(operation.domains) == 1 else operation.domains
    return [domain.draw(rng, shape, dtype) for domain, shape in zip(domains, shapes, strict=True)]


def result_dtype(operation: Operation, arrays: list[Array], options: dict[str, Any]) -> str:
    if "dtype" in options:
        return options["dtype"]
    return operation.result(*(str(a.dtype) for a in arrays))


def reference(operation: Operation, arrays: list[Array], options: dict[str, Any]) -> Array:
    """NumPy's value; where the result is floating, computed in float64 and then rounded."""
    dtype = result_dtype(operation, arrays, options)
    if dtype in FLOATS:
        wide = [
            a if a.dtype == np.bool_ and operation.name == "where" else a.astype("float64")
            for a in arrays
        ]
        return operation.expected(*wide, **options).astype(dtype)
    if operation.name == "astype":
        return operation.expected(*arrays, **options)
    met = promoted(*(str(a.dtype) for a in arrays[-2:]))
    narrow = [
        a if operation.name == "where" and i == 0 else a.astype(met) for i, a in enumerate(arrays)
    ]
    if dtype in ("int64", "bool"):
        return operation.expected(*narrow, **options).astype(dtype)
    return operation.expected(*narrow, **options)


def agree(got: Any, expected: Array, dtype: str, **more: Any) -> None:
    assert str(got.dtype) == dtype
    assert got.shape == expected.shape
    value = got.to_numpy()
    assert str(value.dtype) == dtype
    np.testing.assert_allclose(value, expected.astype(dtype), **(more or tolerance(dtype)))


# --- the table itself -----------------------------------------------------------------------------


def test_every_bound_operation_is_listed():
    function = type(_core.exp)
    bound = {name for name in dir(_core) if isinstance(getattr(_core, name), function)}
    assert bound - NOT_OPERATIONS - set(NAMES) == set()
    assert set(NAMES) <= bound
    assert len(NAMES) == len(set(NAMES))


def test_every_operation_of_the_core_is_public():
    missing = {name for name in NAMES if name != "watch" and not hasattr(cx, name)}
    assert missing == set()
    assert {name for name in NAMES if name != "watch"} <= set(cx.__all__)


def test_every_public_name_exists():
    assert [name for name in cx.__all__ if not hasattr(cx, name)] == []


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if hasattr(cx.Tensor, n) and n not in METHODS_OF_THEIR_OWN],
)
def test_a_method_is_its_function(name):
    operation = BY_NAME[name]
    rng = generator("method", name)
    arrays, options = draw(operation, operation.dtypes[0], rng)
    options.pop("ddof", None)
    got = getattr(cx.Tensor(arrays[0]), name)(**options)
    np.testing.assert_array_equal(got.to_numpy(), operation(arrays[0], **options).to_numpy())


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(operation.name, dtype) for operation in OPERATIONS for dtype in operation.dtypes],
)
def test_values_and_dtypes_are_numpys_for_every_shape_and_layout(name, dtype):
    operation = BY_NAME[name]
    rng = generator("value", name, dtype)
    for number in range(DRAWS):
        arrays, options = draw(operation, dtype, rng)
        expected = reference(operation, arrays, options)
        given = [laid_out(a, rng) for a in arrays] if number else [cx.Tensor(a) for a in arrays]
        got = operation(*given, **options)
        agree(got, expected, result_dtype(operation, arrays, options))


@pytest.mark.parametrize("name", [op.name for op in OPERATIONS if op.elementwise])
@pytest.mark.parametrize(
    "size", [1, 3, 7, 9, 15, 16, 17, 33, 63, 65, 250, 257, 1023, 1024, 1025, 4097, 100_003]
)
def test_elementwise_values_are_right_up_to_the_last_element(name, size):
    operation = BY_NAME[name]
    rng = generator("tail", name, size)
    dtypes = operation.dtypes if size < 2000 else operation.dtypes[:1]
    for dtype in dtypes:
        arrays = fill(operation, [(size,)] * len(operation.domains), dtype, rng)
        options: dict[str, Any] = {}
        agree(
            operation(*map(cx.from_numpy, arrays)),
            reference(operation, arrays, options),
            result_dtype(operation, arrays, options),
        )


@pytest.mark.parametrize(
    "name", ["sum", "prod", "min", "max", "mean", "var", "argmax", "argmin", "any"]
)
@pytest.mark.parametrize(
    "size", [1, 3, 7, 9, 15, 16, 17, 33, 63, 65, 250, 257, 1023, 1024, 1025, 4097, 100_003]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_reductions_are_right_up_to_the_last_element(name, size, dtype):
    operation = BY_NAME[name]
    if dtype not in operation.dtypes:
        pytest.skip(f"{name} does not take {dtype}")
    rng = generator("reduce", name, size, dtype)
    for shape, axis in (((size,), 0), ((size, 3), 0), ((3, size), 1)):
        x = rng.normal(size=shape)
        if dtype not in FLOATS:
            x = np.abs(x * 40) if name != "prod" else np.ones(shape)
        elif name == "prod":
            x = 1 + x / 1000
        x = x.astype(dtype)
        expected = reference(operation, [x], {"axis": axis})
        wanted = result_dtype(operation, [x], {})
        # A sum down a column of 100,000 float32 rounds at every one of them.
        close = {"rtol": 1e-4, "atol": 1e-3} if wanted == "float32" else tolerance(wanted)
        agree(operation(cx.from_numpy(x), axis=axis), expected, wanted, **close)


PAIRS = [
    "add",
    "multiply",
    "divide",
    "where",
    "equal",
    "maximum",
    "matmul",
    "concatenate",
    "atan2",
    "power",
]


@pytest.mark.parametrize("name", PAIRS)
def test_two_dtypes_meet_as_the_array_api_says(name):
    operation = BY_NAME[name]
    for a in operation.dtypes:
        for b in operation.dtypes:
            x, y = np.ones(3, a), np.array([1, 0, 1]).astype(b)
            arrays = [np.array([True, False, True]), x, y] if name == "where" else [x, y]
            got = operation(*arrays)
            assert str(got.dtype) == operation.result(*(str(v.dtype) for v in arrays)), (a, b)
            got.to_numpy()


# What a Python number makes of a tensor: the tensor's dtype, unless the number's kind is higher.
WITH_NUMBER = {
    ("float32", 2): "float32",
    ("float32", 2.5): "float32",
    ("float32", True): "float32",
    ("float64", 2.5): "float64",
    ("int32", 2): "int32",
    ("int32", 2.5): "float32",
    ("uint8", 3): "uint8",
    ("int64", 2.5): "float32",
    ("bool", 2): "int64",
    ("bool", 2.5): "float32",
    ("int8", True): "int8",
}


@pytest.mark.parametrize(("dtype", "number"), WITH_NUMBER)
def test_a_python_number_takes_the_dtype_of_the_tensor_it_meets(dtype, number):
    x = np.array([1, 0, 1]).astype(dtype)
    met = WITH_NUMBER[dtype, number]
    for name in ("add", "multiply", "maximum"):
        operation = BY_NAME[name]
        for got in (operation(cx.Tensor(x), number), operation(number, cx.Tensor(x))):
            expected = operation.expected(x.astype(met), np.asarray(number).astype(met))
            agree(got, expected, met)
    assert str(cx.where(cx.Tensor([True]), cx.Tensor(x), number).dtype) == met


def test_a_float_keeps_all_its_digits_beside_float64():
    got = cx.Tensor(np.zeros(1)) + 0.1
    assert got.item() == 0.1
    assert cx.compile(lambda x, a: x + a)(cx.Tensor(np.zeros(1)), 0.1).item() == 0.1
    assert cx.full((1,), 0.1, dtype="float64").item() == 0.1
    assert cx.maximum(cx.Tensor(np.zeros(1)), 0.1).item() == 0.1


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8"])
def test_integers_wrap_as_numpys_do(dtype):
    limits = np.iinfo(dtype)
    x = np.array([limits.min, limits.max, 0, 1, limits.max - 1], dtype)
    with np.errstate(all="ignore"):
        agree(cx.Tensor(x) + cx.Tensor(x[::-1]), x + x[::-1], dtype)
        agree(cx.Tensor(x) * cx.Tensor(x), x * x, dtype)
        agree(-cx.Tensor(x), -x, dtype)
        agree(cx.absolute(cx.Tensor(x)), np.abs(x), dtype)
        agree(
            cx.Tensor(x) // -1 if limits.min else cx.Tensor(x) // 1,
            x // x.dtype.type(-1 if limits.min else 1),
            dtype,
        )


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_an_integer_divided_by_zero_is_zero_as_in_numpy(dtype):
    x, zero = np.array([5, 0, 7], dtype), np.zeros(3, dtype)
    assert (cx.Tensor(x) // cx.Tensor(zero)).tolist() == [0, 0, 0]
    assert (cx.Tensor(x) % cx.Tensor(zero)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize(
    "target", ["int8", "int16", "int32", "int64", "uint8", "bool", "float32", "float64"]
)
def test_casts_cut_towards_zero_and_keep_nan_true(source, target):
    x = np.array([1.7, -1.7, 0.0, 100.99, -0.2, 3e-5], source)
    if target == "uint8":
        x = np.abs(x)
    agree(cx.astype(cx.Tensor(x), target), x.astype(target), target)
    if target == "bool":
        assert cx.astype(cx.Tensor(np.array([np.nan, np.inf], source)), "bool").tolist() == [
            True,
            True,
        ]


# --- empty, NaN, infinity -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_empty_tensors_give_what_numpy_gives(name):
    operation = BY_NAME[name]
    assert operation.empty is not None
    shapes, options = operation.empty()
    if len(operation.domains) > 1 and len(shapes) == 1:
        shapes = shapes * len(operation.domains)
    if name == "clip":
        options = {"min": 0, "max": 1}
    dtype = operation.dtypes[0]
    arrays = fill(operation, shapes, dtype, generator("empty", name))
    with (
        np.errstate(all="ignore"),
        pytest.warns(RuntimeWarning) if name in ("mean", "std", "var") else _quiet(),
    ):
        expected = reference(operation, arrays, options)
    agree(
        operation(*map(cx.Tensor, arrays), **options),
        expected,
        result_dtype(operation, arrays, options),
    )


class _quiet:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])
OVERFLOWING = [1e30, -1e30, 200.0, -200.0, 1e-30]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name",
    [
        op.name
        for op in OPERATIONS
        if op.elementwise and op.dtypes[0] in FLOATS and op.name != "where"
    ],
)
def test_nan_and_infinity_behave_as_in_numpy_in_body_and_tail(name, dtype):
    operation = BY_NAME[name]
    rng = generator("nan", name, dtype)
    count = len(operation.domains)
    specials = np.concatenate([SPECIAL, OVERFLOWING])
    for size in (15, 16, 17, 1023, 1025, 2100):
        arrays = []
        for _ in range(count):
            x = operation.domains[0].draw(rng, (size,), dtype)
            spots = rng.permutation(size)[: size // 3]
            x[spots] = rng.choice(specials, len(spots)).astype(dtype)
            x[-1], x[0] = rng.choice(specials, 2).astype(dtype)
            arrays.append(x)
        expected = operation.expected(*arrays)
        value = operation(*map(cx.from_numpy, arrays)).to_numpy()
        if expected.dtype.kind == "f":
            # float32 results go below the smallest normal number to zero.
            small = np.abs(expected) < np.finfo(dtype).tiny
            expected = np.where(small, 0, expected)
            value = np.where(np.abs(value) < np.finfo(dtype).tiny, 0, value)
            limits = {**tolerance(dtype), "atol": tolerance(dtype)["atol"]}
            np.testing.assert_allclose(value, expected, **limits)
        else:
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    "name", ["sum", "prod", "min", "max", "mean", "argmax", "argmin", "any", "all", "var"]
)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_reductions_pass_nan_and_infinity_from_every_place(name, special):
    operation = BY_NAME[name]
    rng = generator("reduce nan", name, special)
    for size in (1, 3, 5, 7, 9, 15, 16, 17, 33, 63, 250, 257, 1023, 1025, 4097):
        places = {
            0,
            size - 1,
            size // 2,
            int(rng.integers(size)),
            max(size - 16, 0),
            max(size - 17, 0),
        }
        for place in places:
            x = rng.normal(size=size).astype(np.float32)
            if name == "prod":  # stays away from 0, where NumPy has denormals and we don't
                x = np.sign(x) * rng.uniform(0.9, 1.1, size).astype(np.float32)
            x[place] = special
            expected = operation.expected(x)
            value = operation(cx.from_numpy(x)).to_numpy()
            np.testing.assert_allclose(
                value, expected, rtol=1e-4, atol=1e-4, err_msg=f"{size}, {place}"
            )
            # and where the reduced axis is not the last one
            column = np.repeat(x[:, None], 3, axis=1)
            got = operation(cx.from_numpy(column), axis=0).to_numpy()
            np.testing.assert_allclose(got, np.repeat(expected, 3), rtol=1e-4, atol=1e-4)


def test_argmax_and_argmin_give_the_first_of_equals():
    x = np.array([[3, 1, 3, 1], [0, 0, 0, 0]], np.float32)
    assert cx.argmax(x, axis=1).tolist() == [0, 0]
    assert cx.argmin(x, axis=1).tolist() == [1, 0]
    wide = np.zeros(5000, np.float32)
    wide[[1500, 3000]] = 1
    assert cx.argmax(wide).item() == 1500
    nans = np.zeros(5000, np.float32)
    nans[[1700, 4000]] = np.nan
    assert cx.argmax(nans).item() == 1700 and cx.argmin(nans).item() == 1700


def test_softmax_and_its_logarithm_stay_finite_for_large_numbers():
    x = np.array([[1000.0, 1000.0, -1000.0], [-1e30, 0.0, 1e30]], np.float32)
    np.testing.assert_array_equal(cx.softmax(x).to_numpy(), [[0.5, 0.5, 0], [0, 0, 1]])
    assert np.isfinite(cx.log_softmax(x).to_numpy()).all()
    assert cx.logsumexp(cx.Tensor([-np.inf, -np.inf])).item() == -np.inf
    assert cx.logsumexp(cx.Tensor([np.inf, 0.0])).item() == np.inf


def test_a_sum_of_many_float32_loses_no_more_than_pairs_would():
    x = np.full(10_000_000, 0.1, np.float32)
    assert cx.sum(x).item() == pytest.approx(
        float(np.float32(0.1)) * 1e7, rel=4e-6
    )  # one by one: 9e-2


# --- derivatives ----------------------------------------------------------------------------------

DIFFERENTIABLE = [op.name for op in OPERATIONS if op.derivative and "float64" in op.dtypes]


def differentiable_case(
    operation: Operation, rng: np.random.Generator
) -> tuple[list[Array], dict[str, Any], list[int]]:
    """Inputs in float64, and which of them are differentiated."""
    arrays, options = draw(operation, "float64", rng)
    return arrays, options, [i for i, a in enumerate(arrays) if a.dtype == np.float64]


def weighted(
    operation: Operation, weights: Array, options: dict[str, Any], fixed: dict[int, Array]
) -> Any:
    """sum(weights · operation(…)) as a function of the differentiated inputs."""

    def function(*inputs: Any) -> Any:
        supply = iter(inputs)
        count = len(inputs) + len(fixed)
        given = [cx.Tensor(fixed[i]) if i in fixed else next(supply) for i in range(count)]
        return cx.sum(operation(*given, **options) * cx.Tensor(weights))

    return function


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_central_differences(name):
    operation = BY_NAME[name]
    rng = generator("gradient", name)
    for _ in range(4):
        arrays, options, wanted = differentiable_case(operation, rng)
        weights = rng.normal(size=operation.expected(*arrays, **options).shape)
        fixed = {i: a for i, a in enumerate(arrays) if i not in wanted}
        function = weighted(operation, weights, options, fixed)
        inputs = [arrays[i] for i in wanted]
        gradients = cx.grad(function, argnums=tuple(range(len(inputs))))(
            *(laid_out(a, rng) for a in inputs)
        )
        for i, (place, gradient) in enumerate(zip(wanted, gradients, strict=True)):
            assert gradient.shape == inputs[i].shape and str(gradient.dtype) == "float64"
            for _ in range(3):
                direction = rng.normal(size=inputs[i].shape)
                ends = []
                for step in (1e-5, -1e-5):
                    moved = list(arrays)
                    moved[place] = moved[place] + step * direction
                    ends.append(float((operation.expected(*moved, **options) * weights).sum()))
                difference = (ends[0] - ends[1]) / 2e-5
                along = float((gradient.to_numpy() * direction).sum())
                np.testing.assert_allclose(
                    along, difference, **DIFFERENCE, err_msg=f"input {place}, {options}"
                )


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_second_gradients_are_differences_of_the_first(name):
    operation = BY_NAME[name]
    rng = generator("second", name)
    for _ in range(2):
        arrays, options, wanted = differentiable_case(operation, rng)
        weights = rng.normal(size=operation.expected(*arrays, **options).shape)
        fixed = {i: a for i, a in enumerate(arrays) if i not in wanted}
        function = weighted(operation, weights, options, fixed)
        inputs = [arrays[i] for i in wanted]
        argnums = tuple(range(len(inputs)))
        directions = [rng.normal(size=a.shape) for a in inputs]

        def slope(*xs: Any, function=function, argnums=argnums, directions=directions) -> Any:
            gradients = cx.grad(function, argnums=argnums)(*xs)
            return sum(cx.sum(g * cx.Tensor(d)) for g, d in zip(gradients, directions, strict=True))

        seconds = cx.grad(slope, argnums=argnums)(*map(cx.Tensor, inputs))
        for i, second in enumerate(seconds):
            direction = rng.normal(size=inputs[i].shape)

            def value(
                step: float, i: int = i, direction: Array = direction, slope=slope, inputs=inputs
            ) -> float:
                return slope(
                    *(
                        cx.Tensor(a + step * direction if j == i else a)
                        for j, a in enumerate(inputs)
                    )
                ).item()

            difference = (value(1e-5) - value(-1e-5)) / 2e-5
            along = float((second.to_numpy() * direction).sum())
            np.testing.assert_allclose(
                along, difference, **DIFFERENCE, err_msg=f"input {i}, {options}"
            )


@pytest.mark.parametrize("name", ["sign", "floor", "ceil", "round", "trunc", "stop_gradient"])
def test_functions_made_of_steps_have_gradient_zero(name):
    x = cx.Tensor(np.array([0.3, -1.7, 2.2]))
    assert cx.grad(lambda x: cx.sum(getattr(cx, name)(x)))(x).tolist() == [0, 0, 0]


def test_equal_extremes_share_the_gradient():
    x = cx.Tensor([1.0, 3.0, 3.0])
    assert cx.grad(cx.max)(x).tolist() == [0, 0.5, 0.5]
    assert cx.grad(lambda x: cx.sum(cx.maximum(x, 3.0)))(x).tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("x", "expected"),
    [([2.0, 3.0, 4.0], [12, 8, 6]), ([0.0, 3.0, 4.0], [12, 0, 0]), ([0.0, 0.0, 4.0], [0, 0, 0])],
)
def test_the_gradient_of_a_product_is_right_with_zeros_in_it(x, expected):
    assert cx.grad(cx.prod)(cx.Tensor(x)).tolist() == expected


def test_powers_written_as_numbers_have_their_gradients_at_zero():
    x = cx.Tensor([0.0, 1.0, -2.0])
    assert cx.grad(lambda x: cx.sum(x**2))(x).tolist() == [0, 2, -4]
    assert cx.grad(lambda x: cx.sum(x**3))(x).tolist() == [0, 3, 12]
    assert cx.grad(lambda x: cx.sum(x**1))(x).tolist() == [1, 1, 1]


# --- errors ---------------------------------------------------------------------------------------

i, f = cx.Tensor([1, 2, 3]), cx.ones((2, 3))
ERRORS = {
    "add shapes": (
        lambda: f + cx.ones(2),
        cx.ShapeError,
        "add: the shapes don't broadcast: [2, 3] and [2] (3 ≠ 2 at axis -1)",
    ),
    "where shapes": (
        lambda: cx.where(cx.ones(2), f, 0),
        cx.ShapeError,
        "where: the shapes don't broadcast: [2] and [2, 3] (2 ≠ 3 at axis -1)",
    ),
    "matmul inner": (
        lambda: f @ f,
        cx.ShapeError,
        "matmul: the inner sizes differ: [2, 3] · [2, 3] (3 ≠ 2)",
    ),
    "matmul numbers": (
        lambda: cx.matmul(2.0, f),
        cx.ShapeError,
        "matmul: it takes tensors of at least one axis, got [] · [2, 3]; use * for numbers",
    ),
    "matmul batches": (
        lambda: cx.ones((2, 3, 4)) @ cx.ones((3, 4, 5)),
        cx.ShapeError,
        "matmul: the shapes don't broadcast: [2, 1, 1] and [3, 1, 1] (2 ≠ 3 at axis -3)",
    ),
    "axis": (
        lambda: f.sum(axis=2),
        IndexError,
        "sum: axis 2 is out of range for a tensor of 2 axes",
    ),
    "axis of one": (
        lambda: cx.max(i, axis=-2),
        IndexError,
        "max: axis -2 is out of range for a tensor of 1 axis",
    ),
    "axis twice": (
        lambda: f.sum(axis=(0, -2)),
        ValueError,
        "sum: axis -2 is named twice",
    ),
    "empty max": (
        lambda: cx.max(cx.zeros((0, 3)), axis=0),
        ValueError,
        "max: no elements to reduce in a tensor of shape [0, 3]",
    ),
    "empty argmin": (
        lambda: cx.argmin(cx.zeros(0)),
        ValueError,
        "argmin: no elements to reduce in a tensor of shape [0]",
    ),
    "softmax of a number": (
        lambda: cx.softmax(3.0),
        IndexError,
        "softmax: axis -1 is out of range for a tensor of 0 axes",
    ),
    "log_softmax axis": (
        lambda: cx.log_softmax(f, axis=2),
        IndexError,
        "log_softmax: axis 2 is out of range for a tensor of 2 axes",
    ),
    "std axis": (
        lambda: cx.std(f, axis=2),
        IndexError,
        "std: axis 2 is out of range for a tensor of 2 axes",
    ),
    "reshape": (
        lambda: f.reshape(4, 2),
        cx.ShapeError,
        "reshape: [2, 3] has 6 elements, which do not fill [4, 2]",
    ),
    "reshape inferred": (
        lambda: f.reshape(4, -1),
        cx.ShapeError,
        "reshape: [2, 3] has 6 elements, which do not fill [4, -1]",
    ),
    "reshape negative": (
        lambda: f.reshape(-1, -1),
        cx.ShapeError,
        "reshape: [-1, -1] has a negative size (one may be -1)",
    ),
    "permute": (
        lambda: f.permute(0, 0),
        cx.ShapeError,
        "permute: the axes must name each of the 2 axes once",
    ),
    "broadcast_to": (
        lambda: cx.broadcast_to(f, (2, 1)),
        cx.ShapeError,
        "broadcast_to: [2, 3] does not broadcast to [2, 1]",
    ),
    "squeeze": (
        lambda: f.squeeze(0),
        cx.ShapeError,
        "squeeze: axis 0 of [2, 3] has size 2, not 1",
    ),
    "concatenate": (
        lambda: cx.concatenate([f, cx.ones((2, 4))]),
        cx.ShapeError,
        "concatenate: the shapes differ beyond axis 0: [2, 3] and [2, 4]",
    ),
    "concatenate nothing": (
        lambda: cx.concatenate([]),
        ValueError,
        "concatenate: it needs at least one tensor",
    ),
    "pad count": (
        lambda: cx.pad(f, [(1, 1)]),
        cx.ShapeError,
        "pad: it needs (before, after) for each of the 2 axes, got 1",
    ),
    "pad negative": (
        lambda: cx.pad(i, [(-1, 1)]),
        ValueError,
        "pad: the widths can't be negative",
    ),
    "bits of floats": (
        lambda: f & 1,
        cx.DTypeError,
        'bitwise_and: it takes integers or bools, not float32; use astype("int64") first',
    ),
    "minus of bools": (
        lambda: -(f > 0),
        cx.DTypeError,
        "negative: it does not take bools; use logical_not instead",
    ),
    "difference of bools": (
        lambda: (f > 0) - (f > 1),
        cx.DTypeError,
        "subtract: it does not take bools; use logical_xor instead",
    ),
    "power of bools": (
        lambda: (f > 0) ** (f > 1),
        cx.DTypeError,
        'power: it does not take bools; use astype("int64") first',
    ),
    "negative power": (
        lambda: i**-1,
        ValueError,
        "power: an integer tensor can't be raised to the negative integer -1; use a float exponent",
    ),
    "take floats": (
        lambda: cx.take(f, [0.5]),
        cx.DTypeError,
        "take: the indices are integers, not float32",
    ),
    "take outside": (
        lambda: cx.take(i, [0, 3]).tolist(),
        IndexError,
        "take: index 3 (at position 1 of the indices) is out of bounds for an axis of size 3",
    ),
    "take of a number": (
        lambda: cx.take(cx.Tensor(1.0), [0]),
        cx.ShapeError,
        "take: a 0-d tensor has no axis to take from",
    ),
    "one_hot of floats": (
        lambda: cx.one_hot([0.5], 3),
        cx.DTypeError,
        "one_hot: the labels are integers, not float32",
    ),
    "conv2d rank": (
        lambda: cx.conv2d(f, cx.ones((1, 1, 2, 2))),
        cx.ShapeError,
        "conv2d: images are [N, C, H, W], got [2, 3]",
    ),
    "conv2d channels": (
        lambda: cx.conv2d(cx.ones((1, 2, 5, 5)), cx.ones((1, 3, 2, 2))),
        cx.ShapeError,
        "conv2d: the filters are [O, C, kh, kw] with the images' C: images [1, 2, 5, 5], "
        "filters [1, 3, 2, 2]",
    ),
    "conv2d window": (
        lambda: cx.conv2d(cx.ones((1, 1, 2, 2)), cx.ones((1, 1, 3, 3))),
        cx.ShapeError,
        "conv2d: the window is larger than the padded image: 3 > 2 for images [1, 1, 2, 2]",
    ),
    "conv2d stride": (
        lambda: cx.conv2d(cx.ones((1, 1, 2, 2)), cx.ones((1, 1, 2, 2)), stride=0),
        ValueError,
        "conv2d: kernel, stride and dilation must be at least 1, padding at least 0, and none "
        "above 2³⁰; got 0",
    ),
    "pool padding": (
        lambda: cx.max_pool2d(cx.ones((1, 1, 4, 4)), 2, padding=2),
        ValueError,
        "max_pool2d: padding 2 must be smaller than the window, 2",
    ),
    "astype unknown": (
        lambda: f.astype("float31"),
        cx.DTypeError,
        "unknown dtype 'float31': the known ones are bool, uint8, int8, int16, int32, int64, "
        "float32, float64",
    ),
    "too many axes": (
        lambda: cx.ones((1,) * 9),
        cx.ShapeError,
        None,
    ),
    "too many elements": (
        lambda: cx.zeros((2**40, 2**40)),
        cx.ShapeError,
        "a tensor of shape [1099511627776, 1099511627776] has too many elements",
    ),
    "negative size": (
        lambda: cx.zeros((2, -1)),
        cx.ShapeError,
        "a size is negative: [2, -1]",
    ),
    "strings": (
        lambda: cx.exp("words"),
        cx.DTypeError,
        "an object of type str can't become a Tensor: it takes numbers, nested lists of numbers, arrays "
        "and tensors",
    ),
    "None": (
        lambda: cx.exp(None),
        TypeError,
        None,
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_is_an_error_that_says_what_is_wrong(name):
    action, kind, message = ERRORS[name]
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    if message is not None:
        assert str(caught.value) == message
