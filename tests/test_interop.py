"""NumPy, pandas and DLPack: what is shared, what is copied, what is refused."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import pycyxwiz as cx

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 1000, 1024, 100_000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_from_numpy_shares_memory_at_every_size(size, dtype):
    a = np.zeros(size, dtype)
    t = cx.from_numpy(a)
    assert str(t.dtype) == dtype and t.shape == (size,)
    if size:
        assert np.shares_memory(a, t.to_numpy())
        a[-1] = 1
        assert t[-1].item() == 1
        assert (t + t if dtype != "bool" else t)[-1].item() in (2, True)


def test_shapes_of_every_rank_are_shared():
    for shape in [(), (3,), (2, 3), (2, 3, 4), (1,) * 8, (2, 0, 3)]:
        a = np.ones(shape)
        t = cx.from_numpy(a)
        assert t.shape == shape
        assert np.shares_memory(a, t.to_numpy()) == (a.size > 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a.T,
        lambda a: a.astype(">f8"),
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a[0], (3, 4)),
        lambda a: a[:, 1:3],
    ],
)
def test_arrays_that_are_not_dense_are_copied(make):
    a = make(np.arange(12.0).reshape(3, 4))
    t = cx.from_numpy(a)
    expected = a.copy()
    np.testing.assert_array_equal(t.to_numpy(), expected)
    assert not np.shares_memory(a, t.to_numpy())


def test_dense_parts_and_unaligned_arrays_are_right():
    a = np.arange(12.0).reshape(3, 4)
    assert np.shares_memory(cx.from_numpy(a[1:]).to_numpy(), a)
    raw = np.zeros(8 * 5 + 1, np.uint8)[1:].view(np.float64)
    raw[:] = [1, 2, 3, 4, 5]
    t = cx.from_numpy(raw)
    assert (t * 2).tolist() == [2, 4, 6, 8, 10] and t.sum().item() == 15
    record = np.zeros(4, [("a", "i1"), ("b", "f8")])
    record["b"] = [1, 2, 3, 4]
    assert cx.from_numpy(record["b"]).tolist() == [1, 2, 3, 4]


def test_a_read_only_array_is_taken():
    a = np.arange(3.0)
    a.flags.writeable = False
    t = cx.from_numpy(a)
    assert (t + 1).tolist() == [1, 2, 3]
    t[0] = 5
    assert t.tolist() == [5, 1, 2] and a.tolist() == [0, 1, 2]


def test_a_view_is_read_only_and_a_copy_is_writable():
    t = cx.ones(3) * 2
    view, mine = t.to_numpy(), t.to_numpy(copy=True)
    assert not view.flags.writeable and mine.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    mine[0] = 9
    assert t.tolist() == [2, 2, 2]
    assert np.shares_memory(view, t.to_numpy()) and not np.shares_memory(mine, view)


def test_a_view_of_a_shared_array_can_not_write_to_it():
    a = np.arange(3.0)
    assert not cx.from_numpy(a).to_numpy().flags.writeable


def test_a_view_outlives_its_tensor_and_keeps_its_value():
    t = cx.arange(1000) * 2
    view = t.to_numpy()
    del t
    gc.collect()
    others = [cx.ones(1000) * i for i in range(20)]
    cx.eval(others)
    np.testing.assert_array_equal(view, np.arange(1000) * 2)


def test_a_tensor_outlives_the_array_that_it_shares():
    t = cx.from_numpy(np.arange(1000.0))
    gc.collect()
    junk = [np.ones(1000) for _ in range(20)]
    assert t.sum().item() == 499_500 and len(junk) == 20


def test_a_tensor_lets_go_of_the_array_that_it_shares():
    a = np.arange(1000.0)
    watcher = weakref.ref(a)
    t = cx.from_numpy(a)
    del a
    gc.collect()
    assert watcher() is not None
    del t
    gc.collect()
    assert watcher() is None


def test_numpy_takes_tensors():
    t = cx.Tensor([[1.0, 4.0]])
    assert np.asarray(t).dtype == np.float32 and np.array(t).flags.writeable
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert np.sqrt(t).tolist() == [[1, 2]] and np.add(t, t).tolist() == [[2, 8]]
    assert np.concatenate([t, t]).shape == (2, 2)
    np.testing.assert_array_equal(t, [[1, 4]])
    array = np.zeros((1, 2))
    array[:] = t
    assert array.tolist() == [[1, 4]]


def test_numpys_functions_give_for_tensors_what_they_give_for_arrays():
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    t = cx.Tensor(array)
    for call in (
        np.sum,
        np.max,
        np.std,
        np.transpose,
        lambda x: np.mean(x, axis=0, keepdims=True),
        lambda x: np.clip(x, 0, 1),
        lambda x: np.where(x > 0, x, 0),
        lambda x: np.stack([x, x], axis=1),
        lambda x: np.einsum("ij,kj->ik", x, x),
        lambda x: np.histogram(x, bins=3)[0],
        lambda x: np.linalg.norm(x),
    ):
        result = call(t)
        assert not isinstance(result, cx.Tensor)
        np.testing.assert_array_equal(result, call(array))


def test_operators_between_arrays_and_tensors_give_tensors():
    a, t = np.array([1.0, 2.0]), cx.Tensor([3.0, 4.0])
    for result in (a + t, t + a, a * t, a - t, a / t, a**t, a // t, a % t):
        assert isinstance(result, cx.Tensor)
    for mask in (a < t, a == t, a >= t):
        assert isinstance(mask, cx.Tensor) and str(mask.dtype) == "bool"


# --- DLPack ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [t for t in DTYPES if t != "bool"])
def test_numpy_reads_a_tensor_through_dlpack(dtype):
    t = cx.Tensor(np.arange(6, dtype=dtype).reshape(2, 3)) * 1
    array = np.from_dlpack(t)
    assert array.dtype == dtype and array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert t.__dlpack_device__() == (1, 0)


def test_what_dlpack_gives_outlives_the_tensor_and_cannot_change_it():
    t = cx.arange(1000) * 3
    array = np.from_dlpack(t)
    kept = t.to_numpy()
    del t
    gc.collect()
    np.testing.assert_array_equal(array, np.arange(1000) * 3)
    if array.flags.writeable:
        array[0] = 77
        assert kept[0] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_is_made_from_dlpack(dtype):
    a = np.array([[0, 1], [1, 0]], dtype)
    t = cx.from_dlpack(a)
    assert isinstance(t, cx.Tensor) and str(t.dtype) == dtype and t.tolist() == a.tolist()
    assert cx.from_dlpack(t).tolist() == a.tolist()


# --- pandas ---------------------------------------------------------------------------------------


def test_pandas_columns_and_tables_become_tensors():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "c": [1, 2], "n": ["x", "y"]})
    assert (
        cx.Tensor(frame["a"]).tolist() == [1, 2] and str(cx.Tensor(frame["a"]).dtype) == "float64"
    )
    assert str(cx.Tensor(frame["c"]).dtype) == "int64"
    assert cx.Tensor(frame[["a", "b"]]).tolist() == [[1, 3], [2, 4]]
    assert cx.from_numpy(frame[["a", "b"]].values).tolist() == [[1, 3], [2, 4]]
    assert cx.from_numpy(frame["a"].values).shape == (2,)
    assert (cx.Tensor([1.0, 1.0]) + frame["a"]).tolist() == [2, 3]
    assert cx.sum(frame["c"]).item() == 3
    with pytest.raises(cx.DTypeError):
        cx.Tensor(frame["n"])
    frame["sum"] = np.asarray(cx.Tensor(frame["a"]) + 1)
    assert frame["sum"].tolist() == [2, 3]


# --- what is refused ------------------------------------------------------------------------------

REFUSED = "{} can't become a Tensor: the dtypes are bool, uint8, int8, int16, int32, int64, float32 and float64; convert it first, with array.astype(...)"


@pytest.mark.parametrize(
    "dtype", ["float16", "uint16", "uint32", "uint64", "complex64", "complex128"]
)
def test_a_dtype_that_tensors_do_not_have_is_refused_with_the_mend(dtype):
    for make in (cx.from_numpy, cx.Tensor):
        with pytest.raises(cx.DTypeError) as caught:
            make(np.zeros(3, dtype))
        assert str(caught.value) == REFUSED.format(f"an array of dtype {dtype}")


@pytest.mark.parametrize(
    "data",
    [
        np.array(["a"]),
        np.array([None]),
        np.array([{}]),
        np.array(["2020"], "datetime64[Y]"),
        ["a", "b"],
        [None],
        [object()],
        {"a": 1},
        {1, 2},
        b"bytes",
        object(),
        [1, "a"],
    ],
)
def test_what_is_not_numbers_is_a_type_error(data):
    with pytest.raises(TypeError):
        cx.Tensor(data)


def test_ragged_lists_are_a_shape_error():
    with pytest.raises(cx.ShapeError) as caught:
        cx.Tensor([[1, 2], [3]])
    assert str(caught.value) == "Tensor: the nested lists do not make a rectangle"


def test_more_than_eight_axes_are_a_shape_error():
    for make in (cx.from_numpy, cx.Tensor):
        with pytest.raises(cx.ShapeError):
            make(np.zeros((1,) * 9))


def test_integers_beyond_int64_are_an_error():
    with pytest.raises((OverflowError, TypeError, ValueError)):
        cx.Tensor([2**70])
    with pytest.raises((OverflowError, TypeError, ValueError)):
        cx.ones(2, dtype="int64") + 2**70
