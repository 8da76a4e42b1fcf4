"""Tensor as users hold it: making, printing, indexing, assigning, operators, conversions."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import pycyxwiz as cx

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]


# --- making ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3, "int64", ()),
        (3.5, "float32", ()),
        (True, "bool", ()),
        ([1, 2], "int64", (2,)),
        ([1, 2.5], "float32", (2,)),
        ([True, False], "bool", (2,)),
        (((1, 2), (3, 4)), "int64", (2, 2)),
        ([[[1.0]]], "float32", (1, 1, 1)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (np.arange(3, dtype=np.int16), "int16", (3,)),
        (np.float64(1 / 3), "float64", ()),
        (np.float32(1 / 3), "float32", ()),
        (np.int8(3), "int8", ()),
        (range(3), "int64", (3,)),
    ],
)
def test_a_tensor_has_the_datas_shape_and_dtype(data, dtype, shape):
    t = cx.Tensor(data)
    assert (str(t.dtype), t.shape) == (dtype, shape)
    np.testing.assert_array_equal(t.to_numpy(), np.asarray(data, dtype))


def test_a_numpy_scalar_keeps_its_digits():
    assert cx.Tensor(np.float64(0.1)).item() == 0.1
    assert cx.Tensor(np.array(0.1)).item() == 0.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_is_made_in_the_dtype_that_is_asked_for(dtype):
    for spelled in (dtype, np.dtype(dtype), getattr(cx, dtype), getattr(np, dtype)):
        t = cx.Tensor([0, 1], dtype=spelled)
        assert t.dtype == dtype and t.tolist() == [0, 1]


def test_python_types_name_their_dtypes():
    assert str(cx.zeros(1, dtype=float).dtype) == "float32"
    assert str(cx.zeros(1, dtype=int).dtype) == "int64"
    assert str(cx.zeros(1, dtype=bool).dtype) == "bool"


def test_large_python_integers_are_exact():
    assert cx.Tensor([2**62 + 1]).item() == 2**62 + 1
    assert (cx.Tensor([2**62]) + 1).item() == 2**62 + 1


def test_creation_functions_give_what_numpy_gives():
    for ours, numpys in [
        (cx.zeros((2, 3)), np.zeros((2, 3), "f4")),
        (cx.zeros([2, 0], dtype="int32"), np.zeros((2, 0), "i4")),
        (cx.ones(3, dtype=cx.float64), np.ones(3)),
        (cx.full((2,), 7), np.full(2, 7)),
        (cx.full((2, 2), 0.5), np.full((2, 2), 0.5, "f4")),
        (cx.full(2, True), np.full(2, True)),
        (cx.full(2, 3.9, dtype="int32"), np.full(2, 3, "i4")),
        (cx.arange(5), np.arange(5)),
        (cx.arange(2, 9, 3), np.arange(2, 9, 3)),
        (cx.arange(5, 0, -2), np.arange(5, 0, -2)),
        (cx.arange(3, 1), np.arange(3, 1)),
        (cx.arange(0.0, 1.0, 0.25), np.arange(0, 1, 0.25, dtype="f4")),
        (cx.arange(3, dtype="float64"), np.arange(3.0)),
        (cx.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype="f4")),
        (cx.linspace(2, 3, 1), np.array([2], "f4")),
        (cx.linspace(2, 3, 0), np.zeros(0, "f4")),
        (cx.eye(3), np.eye(3, dtype="f4")),
        (cx.eye(2, 4, dtype="int64"), np.eye(2, 4, dtype="i8")),
        (cx.zeros_like(cx.arange(3)), np.zeros(3, "i8")),
        (cx.ones_like(np.zeros((2, 2))), np.ones((2, 2))),
        (cx.full_like(cx.arange(3), 4), np.full(3, 4)),
        (cx.one_hot([0, 2, 1], 3), np.eye(3, dtype="f4")[[0, 2, 1]]),
        (cx.one_hot([0, 5, -1], 3), np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]], "f4")),
    ]:
        value = ours.to_numpy()
        assert value.dtype == numpys.dtype
        np.testing.assert_array_equal(value, numpys)


def test_a_long_arange_is_exact():
    np.testing.assert_array_equal(cx.arange(100_003).to_numpy(), np.arange(100_003))
    assert cx.linspace(0, 1, 1001, dtype="float64")[-1].item() == 1.0


def test_arange_counts_in_whole_numbers_where_it_is_given_some():
    assert cx.arange(2**53, 2**53 + 3).tolist() == [2**53, 2**53 + 1, 2**53 + 2]
    assert cx.arange(-(2**63), 2**63 - 1, 2**62).shape == (4,)
    for three in (np.int64(3), np.uint8(3), cx.Tensor(3)):
        assert cx.arange(three).tolist() == [0, 1, 2] and cx.arange(three).dtype == cx.int64
    assert cx.arange(np.float32(3)).dtype == cx.float32


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (
            lambda: cx.arange(float("nan")),
            ValueError,
            "arange: start, stop and step must be finite",
        ),
        (lambda: cx.arange(0, 3, 0), ValueError, "arange: the step can't be 0"),
        (
            lambda: cx.arange(float("inf")),
            cx.ShapeError,
            "a tensor of shape [9223372036854775807] has too many elements",
        ),
        (
            lambda: cx.linspace(0, 1, -1),
            ValueError,
            "linspace: num can't be negative, got -1",
        ),
        (lambda: cx.eye(-1), ValueError, "eye: a size is negative"),
        (
            lambda: cx.zeros(2.5),
            TypeError,
            "a shape or axes must be a whole number or several, got 2.5",
        ),
        (
            lambda: cx.zeros("23"),
            TypeError,
            "a shape or axes must be a whole number or several, got '23'",
        ),
        (
            lambda: cx.ones((2, 3)).sum(axis=1.0),
            TypeError,
            "a shape or axes must be a whole number or several, got 1.0",
        ),
        (
            lambda: cx.ones(4).reshape(2.0, 2),
            TypeError,
            "a shape or axes must be a whole number or several, got (2.0, 2)",
        ),
        (
            lambda: cx.zeros(2**70),
            OverflowError,
            "the integer 1180591620717411303424 does not fit int64; a float may be larger",
        ),
        (
            lambda: cx.Tensor(None),
            cx.DTypeError,
            "an object of type NoneType can't become a Tensor: it takes numbers, nested lists of "
            "numbers, arrays and tensors",
        ),
        (
            lambda: cx.concatenate([cx.ones(2)], axis=5),
            IndexError,
            "concatenate: axis 5 is out of range for a tensor of 1 axis",
        ),
        (
            lambda: cx.stack([cx.ones(2), cx.ones(3)]),
            cx.ShapeError,
            "stack: the shapes differ: [2] and [3]",
        ),
        (
            lambda: cx.pad(cx.ones(3), [(2**62, 2**62)]),
            cx.ShapeError,
            "pad: the widths 4611686018427387904 and 4611686018427387904 are too large",
        ),
        (
            lambda: cx.one_hot([0], -1),
            ValueError,
            "one_hot: the number of classes is negative: -1",
        ),
        (
            lambda: cx.max_pool2d(cx.ones((1, 1, 4, 4)), 0),
            ValueError,
            "max_pool2d: kernel, stride and dilation must be at least 1, padding at least 0, and "
            "none above 2³⁰; got 0",
        ),
        (
            lambda: cx.conv2d(cx.ones((1, 1, 4, 4)), cx.ones((1, 1, 2, 2)), padding=2**62),
            ValueError,
            "conv2d: kernel, stride and dilation must be at least 1, padding at least 0, and none "
            "above 2³⁰; got 4611686018427387904",
        ),
        (
            lambda: cx.max_pool2d(cx.ones((1, 1, 4, 4)), (2, 2, 2)),
            ValueError,
            "a window's size, stride, padding or dilation is one number or two, got [2, 2, 2]",
        ),
        (
            lambda: cx.random.seed(-1),
            ValueError,
            "seed: it takes whole numbers from 0 to 2**64 - 1, got -1",
        ),
        (lambda: cx.grad(3), TypeError, "grad takes a function, got 3"),
    ],
)
def test_sizes_and_axes_that_make_no_sense_say_so(action, kind, message):
    with pytest.raises(kind) as caught:
        action()
    assert str(caught.value) == message


def test_a_shape_may_be_an_array_or_a_tensor():
    assert cx.zeros(np.array([2, 3])).shape == cx.zeros(cx.Tensor([2, 3])).shape == (2, 3)
    assert cx.ones(np.int32(4)).shape == (4,)


def test_what_is_created_or_reduced_to_one_element_is_no_plain_number():
    small = cx.Tensor(np.array([1, 2], np.uint8))
    for one in (
        cx.zeros((), "int64"),
        cx.ones([], int),
        cx.full((), 3),
        cx.Tensor([5]).argmax(),
        cx.compile(lambda n: cx.full((), n, "int64"))(3),
    ):
        assert (small + one).dtype == cx.int64
    assert cx.compile(lambda x, n: x + cx.full((), n, "int64"))(small, 3).dtype == cx.int64
    assert (small + cx.full((), 1.5, "float64")).dtype == cx.float64


def test_one_hot_has_more_classes_than_the_labels_dtype_holds():
    labels = np.array([1, 200], np.uint8)
    assert cx.one_hot(labels, 300).sum().item() == 2


def test_a_tensor_of_a_tensor_is_a_handle_of_its_own():
    t = cx.Tensor([1, 2, 3])
    u = cx.Tensor(t)
    u[0] = 9
    assert t.tolist() == [1, 2, 3] and u.tolist() == [9, 2, 3]


def test_tensor_copies_an_array():
    a = np.arange(3.0)
    t = cx.Tensor(a)
    a[0] = 9
    assert t.tolist() == [0, 1, 2]


# --- looking --------------------------------------------------------------------------------------


def test_attributes_describe_a_tensor():
    t = cx.zeros((2, 3), dtype="float64")
    assert (t.ndim, t.size, t.nbytes, t.dtype.itemsize, t.dtype.name) == (2, 6, 48, 8, "float64")
    assert t.shape == (2, 3) and t.shape() == [2, 3] and isinstance(t.shape, tuple)
    assert hash(t.shape) == hash((2, 3))
    assert pickle.loads(pickle.dumps(t.shape)) == (2, 3)
    assert t.T.shape == (3, 2) and cx.zeros((2, 3, 4)).T.shape == (4, 3, 2)
    assert not t.is_traced


def test_repr_is_the_header_and_str_adds_the_values():
    t = cx.Tensor([[1.5, 2.0]])
    assert repr(t) == "<Tensor shape=[1, 2] device=CPU dtype=float32>"
    assert str(t) == "<Tensor shape=[1, 2] device=CPU dtype=float32>\n[[1.5 2. ]]"
    assert str(cx.Tensor(3)) == "<Tensor shape=[] device=CPU dtype=int64>\n3"
    assert repr(cx.zeros((0, 2), dtype="bool")) == "<Tensor shape=[0, 2] device=CPU dtype=bool>"
    assert f"{t}" == str(t)


def test_dtypes_compare_with_names_and_numpys_and_are_hashable():
    assert cx.float32 == "float32" and cx.float32 == np.float32 and cx.float32 == np.dtype("f4")
    assert all(cx.float32 != other for other in (cx.float64, "float64", 3, None, "words"))
    assert cx.zeros(1).dtype == cx.float32
    assert {cx.float32: 1}[cx.zeros(1).dtype] == 1
    assert (str(cx.bool), repr(cx.int8), cx.int16.itemsize) == ("bool", "cx.int8", 2)
    assert cx.uint8.numpy == np.dtype("uint8")
    assert pickle.loads(pickle.dumps(cx.int32)) == cx.int32


# --- indexing -------------------------------------------------------------------------------------

INDICES: dict[str, Any] = {
    "number": 1,
    "negative": -1,
    "slice": slice(1, 3),
    "step": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "backwards by two": slice(-1, 0, -2),
    "outside": slice(2, 100),
    "nothing": slice(3, 1),
    "pair": (1, 2),
    "row and slice": (0, slice(1, None)),
    "column": (slice(None), 1),
    "ellipsis": (..., 0),
    "ellipsis in the middle": (0, ..., -1),
    "only ellipsis": ...,
    "none": None,
    "none between": (slice(None), None, 1),
    "everything": (),
    "list": [2, 0, 0],
    "negative list": [-1, -4],
    "empty list": [],
    "array": np.array([[0, 1], [3, 2]]),
    "list and slice": ([0, 2], slice(1, 3)),
    "slice and list": (slice(None), [1, 1]),
    "two lists": ([0, 1], [2, 3]),
    "list and number": ([3, 0], 1),
    "lists that broadcast": (np.array([[0], [2]]), np.array([1, 3])),
    "bool list": [True, False, True, False],
    "mask of rows": np.array([False, True, True, False]),
    "mask of elements": np.arange(60).reshape(4, 5, 3) % 3 == 0,
    "mask and number": (np.array([True, False, False, True]), 2),
    "slice and mask": (slice(None), np.array([True, False, True, False, True])),
    "numpy integer": np.int32(2),
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing_gives_what_numpy_gives(name):
    a = np.arange(60).reshape(4, 5, 3)
    index = INDICES[name]
    got = cx.Tensor(a)[index]
    assert got.shape == a[index].shape
    np.testing.assert_array_equal(got.to_numpy(), a[index])


@pytest.mark.parametrize("name", INDICES)
def test_assigning_to_an_index_does_what_numpy_does(name):
    index = INDICES[name]
    for value in (7, "own"):
        a = np.arange(60.0).reshape(4, 5, 3)
        t = cx.Tensor(a)
        new = -a[index] - 1 if value == "own" else value
        t[index] = cx.Tensor(np.array(new)) if value == "own" else new
        a[index] = new
        np.testing.assert_array_equal(t.to_numpy(), a)


def test_tensors_are_indices():
    a = np.arange(12).reshape(4, 3)
    t = cx.Tensor(a)
    assert t[cx.Tensor([2, -1])].tolist() == a[[2, -1]].tolist()
    assert t[cx.Tensor(2)].tolist() == a[2].tolist()
    assert t[:, cx.Tensor([0, 2])].tolist() == a[:, [0, 2]].tolist()
    assert t[t > 5].tolist() == a[a > 5].tolist()
    assert t[cx.Tensor([True, False, True, False])].tolist() == a[[0, 2]].tolist()
    t[t > 5] = 0
    assert t.max().item() == 5
    t[cx.Tensor([0, 1])] = cx.Tensor([[1, 1, 1], [2, 2, 2]])
    assert t[:2].tolist() == [[1, 1, 1], [2, 2, 2]]


def test_a_value_broadcasts_into_what_it_is_assigned_to():
    t = cx.zeros((2, 3))
    t[:] = [1, 2, 3]
    assert t.tolist() == [[1, 2, 3], [1, 2, 3]]
    t[:, 1] = cx.Tensor([8, 9])
    assert t.tolist() == [[1, 8, 3], [1, 9, 3]]
    t[0] = cx.Tensor([[5, 5, 5]])
    assert t[0].tolist() == [5, 5, 5]
    t[:, ::2] += 100
    assert t.tolist() == [[105, 5, 105], [101, 9, 103]]


def test_assignment_keeps_the_dtype():
    t = cx.Tensor([1, 2, 3])
    t[0] = 2.9
    assert t.dtype == "int64" and t.tolist() == [2, 2, 3]


def test_assignment_rebinds_one_handle_and_leaves_the_others():
    t = cx.arange(4)
    same, row, view = t, t[1:3], t.to_numpy()
    other = cx.Tensor(t)
    t[1] = 50
    assert t.tolist() == [0, 50, 2, 3]
    assert same is t
    assert (
        row.tolist() == [1, 2] and view.tolist() == [0, 1, 2, 3] and other.tolist() == [0, 1, 2, 3]
    )


def test_a_reader_built_before_an_assignment_sees_the_old_value():
    t = cx.arange(4) * 1
    total, doubled = t.sum(), t * 2
    t[0] = 100
    t += 1
    assert total.item() == 6 and doubled.tolist() == [0, 2, 4, 6]
    assert t.tolist() == [101, 2, 3, 4]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (4, "index 4 is out of bounds for axis 0 of size 4"),
        (-5, "index -5 is out of bounds for axis 0 of size 4"),
        ((0, 3), "index 3 is out of bounds for axis 1 of size 3"),
        ((0, 0, 0), "too many indices: 3 for a tensor of 2 axes"),
        ((..., ...), "an index can only have a single ellipsis ('...')"),
    ],
)
def test_an_index_outside_is_an_index_error(index, message):
    t = cx.arange(12).reshape(4, 3)
    with pytest.raises(IndexError) as caught:
        t[index]
    assert str(caught.value) == message
    with pytest.raises(IndexError):
        t[index] = 1


@pytest.mark.parametrize("index", [[4], [[0], [9]], np.array([7]), "row", 1.5, [True, False]])
def test_a_wrong_index_is_an_error(index):
    t = cx.arange(12).reshape(4, 3)
    with pytest.raises((IndexError, TypeError)):
        t[index].tolist()


def test_a_value_of_the_wrong_shape_is_not_assigned():
    t = cx.zeros((2, 3))
    with pytest.raises(cx.ShapeError):
        t[0] = [1, 2]
    with pytest.raises(ValueError, match="step"):
        t[::0]
    assert t.tolist() == [[0, 0, 0], [0, 0, 0]]


# --- operators ------------------------------------------------------------------------------------

ARITHMETIC = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]
COMPARISON = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("op", ARITHMETIC + COMPARISON)
@pytest.mark.parametrize("other", [2, 1.5, [1.0, 2.0, 4.0], np.array([1.0, 2.0, 4.0], np.float32)])
def test_operators_take_numbers_lists_and_arrays_on_both_sides(op, other):
    a = np.array([1.0, 2.0, 3.0], np.float32)
    t = cx.Tensor(a)
    y = np.asarray(other, np.float32)
    for got, expected in ((op(t, other), op(a, y)), (op(other, t), op(y, a))):
        assert isinstance(got, cx.Tensor)
        np.testing.assert_allclose(got.to_numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor])
def test_bit_operators_work_on_bools_and_integers(op):
    for a, b in (([True, True, False], [True, False, False]), ([6, 5, 0], [3, 3, 9])):
        x, y = np.array(a), np.array(b)
        assert op(cx.Tensor(x), cx.Tensor(y)).tolist() == op(x, y).tolist()
        assert op(x, cx.Tensor(y)).tolist() == op(x, y).tolist()
    assert (~cx.Tensor([True, False])).tolist() == [False, True]
    assert (~cx.Tensor([0, 5])).tolist() == [-1, -6]


def test_unary_operators():
    t = cx.Tensor([1.0, -2.0])
    assert (-t).tolist() == [-1, 2] and (+t).tolist() == [1, -2] and abs(t).tolist() == [1, 2]


def test_matmul_operator_takes_arrays_on_both_sides():
    a = np.arange(4.0).reshape(2, 2)
    for got in (cx.Tensor(a) @ a, a @ cx.Tensor(a), cx.Tensor(a) @ a.tolist()):
        assert isinstance(got, cx.Tensor) and got.tolist() == (a @ a).tolist()


@pytest.mark.parametrize("number", [np.float32(2), np.float64(2), np.int64(2)])
def test_numpy_numbers_meet_tensors_on_both_sides(number):
    t = cx.Tensor([1.0, 3.0])
    for got in (t * number, number * t, number + t - number + t):
        assert isinstance(got, cx.Tensor) and got.tolist() == [2, 6]


def test_comparisons_with_other_things_are_pythons():
    t = cx.Tensor([1])
    assert (t == None) is False and (t != None) is True  # noqa: E711
    assert (t == "word") is False
    with pytest.raises(TypeError):
        t < "word"  # noqa: B015
    with pytest.raises(TypeError):
        t + "word"
    with pytest.raises(TypeError):
        t + None
    with pytest.raises(TypeError):
        {} - t


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"])
def test_in_place_operators_rebind_the_handle(name):
    op = getattr(operator, "i" + name)
    a = np.array([4.0, 9.0], np.float32)
    t = cx.Tensor(a)
    other = cx.Tensor(t)
    result = op(t, 2)
    assert result is t
    np.testing.assert_allclose(t.to_numpy(), op(a.copy(), 2))
    assert other.tolist() == [4, 9]


def test_a_number_that_the_dtype_does_not_hold_is_refused_and_compared_as_it_is():
    x = cx.Tensor(np.array([0, 200], np.uint8))
    for action, what in (
        (lambda: x + 300, "add: the integer 300"),
        (lambda: x * -1, "multiply: the integer -1"),
        (lambda: 256 - x, "subtract: the integer 256"),
    ):
        with pytest.raises(OverflowError) as caught:
            action()
        assert str(caught.value) == (
            f'{what} does not fit uint8; convert the tensor first, with astype("int64")'
        )
    assert (x < 300).tolist() == [True, True] and (x == -56).tolist() == [False, False]
    assert (x + 55).tolist() == [55, 255] and (x * 2.5).tolist() == [0, 500]
    with pytest.raises(OverflowError):
        cx.ones(2, "int32") + 2**31


def test_in_place_operators_keep_dtype_and_shape_or_refuse():
    t = cx.Tensor([1, 2])
    with pytest.raises(cx.DTypeError) as caught:
        t /= 2
    assert str(caught.value) == (
        "an in-place operation can't turn int64 into float32; write t = t + v instead of t += v"
    )
    with pytest.raises(cx.ShapeError) as caught_shape:
        t += cx.ones((2, 2), dtype="int64")
    assert str(caught_shape.value) == "an in-place operation can't change the shape [2] to [2, 2]"
    assert t.tolist() == [1, 2]
    f = cx.ones(2)
    f += np.ones(2)
    assert f.dtype == "float32"
    m = cx.eye(2)
    m @= cx.full((2, 2), 3.0)
    assert m.tolist() == [[3, 3], [3, 3]]


# --- conversions ----------------------------------------------------------------------------------


def test_one_element_is_a_number():
    assert (
        float(cx.Tensor([2.5])) == 2.5 and int(cx.Tensor(7)) == 7 and cx.Tensor([[3]]).item() == 3
    )
    assert int(cx.Tensor(2.9)) == 2 and math.sqrt(cx.Tensor(4.0)) == 2
    assert [10, 20, 30][cx.Tensor(1)] == 20 and list(range(cx.Tensor(3))) == [0, 1, 2]
    assert bool(cx.Tensor([0.5])) is True and bool(cx.Tensor(0)) is False
    assert type(cx.Tensor(True).item()) is bool and type(cx.Tensor(1).item()) is int
    assert [round(v, 1) for v in cx.Tensor([0.5, 1.5]).tolist()] == [0.5, 1.5]


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (
            lambda: cx.ones(2).item(),
            ValueError,
            "item: only a tensor of one element is a number, this one has shape [2]",
        ),
        (
            lambda: bool(cx.ones(2)),
            ValueError,
            "the truth value of a tensor of 2 elements is ambiguous; use .any() or .all()",
        ),
        (
            lambda: bool(cx.ones(0)),
            ValueError,
            "the truth value of a tensor of 0 elements is ambiguous; use .any() or .all()",
        ),
        (lambda: len(cx.Tensor(1)), TypeError, "len() of a 0-d tensor"),
        (lambda: list(cx.Tensor(1)), TypeError, "iteration over a 0-d tensor"),
        (
            lambda: f"{cx.ones(2):.3f}",
            TypeError,
            "a format such as ':.3f' takes one element, this tensor has shape [2]",
        ),
        (
            lambda: range(cx.Tensor(1.0)),
            TypeError,
            "only a 0-d integer tensor can be used as an index or a count",
        ),
    ],
)
def test_what_is_no_number_says_so(action, kind, message):
    with pytest.raises(kind) as caught:
        action()
    assert message is None or str(caught.value) == message


def test_one_element_is_formatted_and_rounded_as_its_number():
    loss, count = cx.Tensor([0.123456]).mean(), cx.Tensor(7)
    assert f"{loss:.3f} {loss:8.1e} {count:03d}" == "0.123  1.2e-01 007"
    assert f"{count}" == str(count) and f"{cx.Tensor([[2.5]]):.1f}" == "2.5"
    assert round(loss, 2) == 0.12 and round(cx.Tensor(2.7)) == 3


def test_iterating_gives_the_rows():
    rows = list(cx.arange(6).reshape(3, 2))
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    assert len(cx.zeros((3, 2))) == 3 and list(cx.zeros((0, 2))) == []
    a, b = cx.Tensor([1.0, 2.0])
    assert (a.item(), b.item()) == (1, 2)
    assert 2 in cx.Tensor([1, 2, 3]) and 9 not in cx.Tensor([1, 2, 3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_pickling_and_copying_keep_value_and_dtype(dtype):
    t = cx.Tensor(np.array([[0, 1, 1]], dtype))
    for again in (
        pickle.loads(pickle.dumps(t)),
        copy.copy(t),
        copy.deepcopy(t),
        copy.deepcopy([t])[0],
    ):
        assert again.dtype == t.dtype and again.shape == t.shape and again.tolist() == t.tolist()
        again[0, 0] = 1
        assert t[0, 0].item() == 0
    empty = pickle.loads(pickle.dumps(cx.zeros((0, 3))))
    assert empty.shape == (0, 3)


def test_tensors_hash_by_identity():
    a, b = cx.ones(1), cx.ones(1)
    assert {a: 1}[a] == 1 and len({a, b}) == 2


def test_reshape_permute_and_transpose_take_numbers_or_a_tuple():
    t = cx.arange(6)
    assert t.reshape(2, 3).shape == t.reshape((2, 3)).shape == t.reshape([2, -1]).shape == (2, 3)
    u = t.reshape(1, 2, 3)
    assert (
        u.permute(2, 0, 1).shape
        == u.permute((2, 0, 1)).shape
        == u.transpose(2, 0, 1).shape
        == (3, 1, 2)
    )
    assert u.transpose().shape == (3, 2, 1) and u.flatten().shape == (6,)
    assert (
        u.squeeze().shape == (2, 3)
        and u.squeeze(0).shape == (2, 3)
        and u.expand_dims(-1).shape == (1, 2, 3, 1)
    )
    assert u.astype("float64").dtype == "float64" and u.to("cpu").tolist() == u.tolist()
    assert t.reshape(cx.Tensor(2), 3).shape == (2, 3)


def test_methods_take_axis_and_keepdims_by_position_and_name():
    t = cx.arange(6).reshape(2, 3)
    assert t.sum(0).tolist() == t.sum(axis=0).tolist() == [3, 5, 7]
    assert t.sum(1, True).tolist() == t.sum(axis=1, keepdims=True).tolist() == [[3], [12]]
    assert t.sum(axis=()).tolist() == t.tolist()
    assert t.sum((0, 1)).item() == 15
    np.testing.assert_allclose(
        t.std(axis=0, ddof=1).to_numpy(), np.arange(6).reshape(2, 3).std(0, ddof=1), rtol=1e-6
    )
    np.testing.assert_allclose(t.var(ddof=1).item(), 3.5, rtol=1e-6)
    assert t.clip(1, 3).tolist() == [[1, 1, 2], [3, 3, 3]] and t.clip(min=4).min().item() == 4
