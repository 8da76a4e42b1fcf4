"""The ArrayFire backend without ArrayFire: finding it, laying shapes out, and every op over
tests/numpy_arrayfire.py, which stands for the library. With ArrayFire: test_conformance.py."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

import numpy_arrayfire
import pycyxwiz as cx
from ops_table import BY_NAME, OPERATIONS
from pycyxwiz import backends
from pycyxwiz.backends.arrayfire import layout, library
from pycyxwiz.backends.arrayfire.engine import ArrayFireBackend, memory_sizes
from pycyxwiz.backends.arrayfire.program import OPS, REASONS
from pycyxwiz.backends.protocol import Program, Value
from test_ops import agree, draw, reference, result_dtype

ENGINE, LIBRARY = numpy_arrayfire.engine("numpyfire")
NO_DOUBLES, _ = numpy_arrayfire.engine("floatfire", doubles=False)
for engine in (ENGINE, NO_DOUBLES):
    if engine.name not in [known.name for known in backends.engines()]:
        backends.register(engine)


@pytest.fixture
def there():
    with cx.device("numpyfire:0") as device:
        yield device


def some_shapes(rng, count, least=0, most=7):
    """Of any rank, with axes of size 1 among the others."""
    for _ in range(count):
        rank = int(rng.integers(least, most + 1))
        yield tuple(int(n) for n in rng.choice([1, 1, 2, 3, 4], rank))


# --- shapes ---------------------------------------------------------------------------------------


def lying(x, dims):
    """An array as ArrayFire has it: row-major elements, axes reversed."""
    assert len(dims) <= 4 and math.prod(dims) == x.size
    return x.reshape(tuple(reversed(dims)))


def test_a_shape_of_any_rank_lies_in_four_axes_at_most():
    for shape in some_shapes(np.random.default_rng(0), 200):
        dims = layout.dims_of(shape)
        assert 1 <= len(dims) <= 4 and math.prod(dims) == math.prod(shape)
        if 0 < len(shape) <= 4:
            assert dims == shape[::-1]


def test_broadcasting_at_any_rank_takes_steps_of_four_axes():
    rng = np.random.default_rng(1)
    for wanted in some_shapes(rng, 400):
        shape = tuple(1 if rng.random() < 0.5 else n for n in wanted)[int(rng.integers(0, 3)) :]
        shape = shape if len(shape) <= len(wanted) else wanted
        x = rng.random(shape)
        got = x
        for dims, times in layout.broadcast_steps(shape, wanted):
            got = np.tile(lying(got, dims), tuple(reversed(times)))
        np.testing.assert_array_equal(got.reshape(wanted), np.broadcast_to(x, wanted))


def test_permuting_at_any_rank_takes_steps_of_four_axes():
    rng = np.random.default_rng(2)
    for shape in some_shapes(rng, 400):
        axes = tuple(int(a) for a in rng.permutation(len(shape)))
        x = rng.random(shape)
        got = x
        for dims, order in layout.permute_steps(shape, axes):
            last = len(dims) - 1
            got = lying(got, dims).transpose([last - order[last - i] for i in range(len(dims))])
        np.testing.assert_array_equal(got.reshape(x.transpose(axes).shape), x.transpose(axes))


def test_a_permutation_that_moves_no_element_takes_no_step():
    assert layout.permute_steps((1, 3, 1, 4), (1, 0, 3, 2)) == []
    assert layout.permute_steps((2, 3, 4, 5, 6), (0, 1, 2, 4, 3)) == [((6, 5, 24), (1, 0, 2))]


def test_slices_at_any_rank_take_a_step_for_each_axis_they_cut():
    rng = np.random.default_rng(3)
    for shape in some_shapes(rng, 400, least=1):
        index = []
        for n in shape:
            start, stop = sorted(int(i) for i in rng.integers(0, n + 1, 2))
            step = int(rng.choice([-2, -1, 1, 1, 2]))
            stop = max(stop, start + 1)
            if stop > n:
                start, stop = 0, n
            index.append(range(start, stop, step) if step > 0 else range(stop - 1, start - 1, step))
        x = rng.random(shape)
        wanted = x[np.ix_(*map(list, index))]
        got = x
        starts, steps = tuple(r.start for r in index), tuple(r.step for r in index)
        for dims, start, step, count in layout.slice_steps(shape, starts, steps, wanted.shape):
            got = lying(got, dims)[:, [start + i * step for i in range(count)]]
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


def test_reductions_at_any_rank_take_a_step_for_each_run_of_axes():
    rng = np.random.default_rng(4)
    for shape in some_shapes(rng, 400):
        mask = int(rng.integers(0, 1 << len(shape)))
        axes = tuple(i for i in range(len(shape)) if mask >> i & 1)
        x = rng.random(shape)
        got = x
        for dims, axis in layout.reduce_steps(shape, mask):
            got = lying(got, dims).sum(len(dims) - 1 - axis, keepdims=True)
        expected = x.sum(axes, keepdims=True)
        np.testing.assert_allclose(got.reshape(expected.shape), expected)


# --- finding the library --------------------------------------------------------------------------


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without ArrayFire, whatever this one has."""
    for variable in ("AF_PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(library, "_usual_roots", lambda: [tmp_path / "usual"])
    monkeypatch.setattr(library, "_in_loader_cache", lambda names: None)
    monkeypatch.setattr(library, "_PACKAGES", ())
    return tmp_path


def put(folder, kind):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / library._file_names(library.KINDS[kind])[0]
    path.write_bytes(b"not a library")
    return path


def test_the_error_lists_the_places_searched_and_how_to_get_it(nowhere, monkeypatch):
    monkeypatch.setenv("AF_PATH", str(nowhere / "chosen"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nowhere / "loader"))
    for kind in library.KINDS:
        assert library.find(kind) is None
        message = library.missing(kind)
        for place in ("chosen/lib", "loader", "usual/lib64"):
            assert str(nowhere / place) in message
        assert "libaf" + library.KINDS[kind] in message and "set AF_PATH" in message
        assert "https://arrayfire.com" in message


def test_af_path_comes_before_packages_the_loaders_path_and_the_usual_places(nowhere, monkeypatch):
    package = nowhere / "site" / "some_arrayfire"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(nowhere / "site"))
    monkeypatch.setattr(library, "_PACKAGES", ("some_arrayfire",))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nowhere / "loader"))
    monkeypatch.setenv("AF_PATH", str(nowhere / "chosen"))
    for folder in ("usual/lib", "loader", "site/some_arrayfire/binaries", "chosen/lib64"):
        wanted = put(nowhere / folder, "opencl")
        assert library.find("opencl") == wanted
        assert library.missing("opencl") is None
    assert library.find("cuda") is None


def test_the_loaders_cache_is_read_for_libraries_in_its_own_places(tmp_path):
    cache = tmp_path / "ld.so.cache"
    cache.write_bytes(b"\1libafcpu.so.3\0/far/lib/libafcpu.so.3.1\0/far/lib/libafcpu.so.3\0rest")
    found = library._in_loader_cache(("libafcpu.so.3", "libafcpu.so"), cache)
    assert found == Path("/far/lib/libafcpu.so.3")
    assert library._in_loader_cache(("libafcuda.so.3",), cache) is None
    assert library._in_loader_cache(("libafcpu.so.3",), tmp_path / "none") is None


def test_a_file_that_is_no_library_is_an_error_that_names_it(nowhere):
    path = put(nowhere / "usual/lib", "oneapi")
    with pytest.raises(cx.DeviceError, match="does not load") as raised:
        library.Library("oneapi", path)
    assert str(path) in str(raised.value)


def test_a_script_without_arrayfire_hears_of_it_when_it_asks_and_not_before():
    script = """
        import pycyxwiz as cx, sys
        cx.Tensor([1.0]) + 1
        assert not any("arrayfire" in module for module in sys.modules)
        try:
            cx.set_device("oneapi:0")
        except cx.DeviceError as error:
            print(error)
        print(cx.Tensor([1.0]).device)
    """
    missing = "/no/such/place"
    environment = os.environ | {"AF_PATH": missing}
    if library.find("oneapi"):
        pytest.skip("ArrayFire's oneAPI library is installed here")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert missing in run.stdout and "arrayfire.com" in run.stdout
    assert run.stdout.endswith("cpu\n")


def test_memory_is_read_from_what_arrayfire_says_about_its_devices():
    info = "ArrayFire v3.8.2 (OpenCL)\n[0] NVIDIA: Tesla T4, 15102 MB\n-1- AMD: gfx900, 8176 MB\n"
    assert memory_sizes(info) == {0: 15102 << 20, 1: 8176 << 20}
    assert memory_sizes("ArrayFire v3.10.0 (CPU)\n[0] Intel: Xeon\n") == {}


# --- the table ------------------------------------------------------------------------------------


def test_every_op_of_the_core_has_an_entry_or_a_reason():
    assert set(OPS) | set(REASONS) == set(backends.op_names())
    assert not set(OPS) & set(REASONS)
    assert ArrayFireBackend.ops is OPS and ArrayFireBackend.reasons is REASONS


@pytest.mark.parametrize("name", [op.name for op in OPERATIONS if op.name != "watch"])
def test_every_operation_agrees_with_numpy(there, name):
    operation = BY_NAME[name]
    for dtype in operation.dtypes:
        rng = np.random.default_rng(sum(map(ord, name + dtype)))
        for _ in range(2):
            arrays, options = draw(operation, dtype, rng)
            expected = reference(operation, arrays, options)
            wanted = result_dtype(operation, arrays, options)
            got = operation(*map(cx.Tensor, arrays), **options)
            agree(got, expected, wanted)


@pytest.mark.parametrize("rank", [5, 6, 7])
def test_ops_work_at_ranks_that_arrayfire_has_not(there, rank):
    rng = np.random.default_rng(rank)
    shape = tuple(int(n) for n in rng.integers(1, 4, rank))
    a, b = rng.random(shape), rng.random(tuple(n if i % 2 else 1 for i, n in enumerate(shape)))
    x, y = cx.Tensor(a, dtype="float64"), cx.Tensor(b, dtype="float64")
    axes = tuple(int(i) for i in rng.permutation(rank))
    np.testing.assert_allclose((x * y + x).to_numpy(), a * b + a)
    np.testing.assert_allclose(cx.permute(x, axes).to_numpy(), a.transpose(axes))
    np.testing.assert_allclose(x.sum((0, 2, 4)).to_numpy(), a.sum((0, 2, 4)))
    np.testing.assert_array_equal(x.max((1, 3)).to_numpy(), a.max((1, 3)))
    np.testing.assert_array_equal(cx.argmin(x, 2).to_numpy(), a.argmin(2))
    np.testing.assert_array_equal(x[:, ::-1, ..., :1].to_numpy(), a[:, ::-1, ..., :1])
    np.testing.assert_array_equal(cx.concatenate([x, x], 3).to_numpy(), np.concatenate([a, a], 3))
    x[..., 0, :] = 7.0
    a[..., 0, :] = 7
    np.testing.assert_array_equal(x.to_numpy(), a)


def test_axes_of_size_1_survive_wherever_they_are(there):
    for shape in [(1,), (1, 1), (3, 1), (1, 3, 1), (2, 1, 1, 1), (1, 1, 1, 1, 2), ()]:
        x = cx.ones(shape)
        assert (x + 1).to_numpy().shape == shape
        assert cx.exp(x).to_numpy().shape == shape
        assert x.sum(keepdims=True).to_numpy().shape == (1,) * len(shape)


def test_empty_tensors_are_kept_and_computed_with(there):
    x = cx.zeros((0, 3))
    assert cx.exp(x).to_numpy().shape == (0, 3)
    assert x.sum(0).tolist() == [0, 0, 0] and cx.prod(x, 0).tolist() == [1, 1, 1]
    assert (cx.zeros((2, 0)) @ x).tolist() == [[0, 0, 0]] * 2
    assert cx.concatenate([x, cx.ones((1, 3))]).tolist() == [[1, 1, 1]]
    assert cx.take(cx.ones((2, 3)), cx.zeros(0, dtype="int64")).to_numpy().shape == (0, 3)


def test_int8_wraps_though_arrayfire_has_it_in_its_latest_version_only(there):
    x = cx.Tensor(np.array([127, -128, 100], "int8"))
    assert str((x + x).dtype) == "int8"
    assert (x + x).tolist() == [-2, 0, -56] and (-x).tolist() == [-127, -128, -100]
    assert cx.Tensor([200.0, -129.0, 300.0]).astype("int8").tolist() == [-56, 127, 44]


def test_random_numbers_are_the_cpus_bit_for_bit(there):
    for draw_some in (
        lambda: cx.random.uniform((1001,)),
        lambda: cx.random.uniform((77,), dtype="float64"),
        lambda: cx.random.permutation(50),
    ):
        cx.random.seed(2**40 + 3)
        here = draw_some()
        assert str(here.device) == "numpyfire:0"
        with cx.device("cpu"):
            cx.random.seed(2**40 + 3)
            np.testing.assert_array_equal(here.to_numpy(), draw_some().to_numpy())


def test_an_index_outside_is_the_cpus_error(there):
    rows, indices = cx.ones((4, 2)), [0, 3, 4]
    messages = []
    for device in ("cpu", there):
        with pytest.raises(IndexError) as raised:
            cx.take(rows.to(device), cx.Tensor(indices).to(device)).to_numpy()
        messages.append(str(raised.value))
    assert messages[0] == messages[1] and "index 4" in messages[0]
    assert cx.take(rows, cx.Tensor([-4, 3])).tolist() == [[1, 1], [1, 1]]


# --- how Programs run -----------------------------------------------------------------------------


def evaluations(function, *tensors):
    cx.eval(*tensors)
    LIBRARY.evaluations.clear()
    cx.eval(function(*tensors))
    return LIBRARY.evaluations


def test_an_elementwise_group_is_one_expression(there):
    x, y = cx.ones((8, 3)), cx.ones(3)
    assert evaluations(lambda x, y: cx.sqrt(x * x + y) * cx.exp(-x) + cx.sin(y), x, y) == [1]


def test_expressions_of_one_size_that_a_step_needs_are_evaluated_together(there):
    x = cx.ones((8, 3))
    # Both factors of the product, then the result.
    assert evaluations(lambda x: (cx.exp(x) @ cx.ones((3, 8))) * 2, x)[-1] == 1
    a, b = cx.ones((4, 4)), cx.ones((4, 4))
    assert evaluations(lambda a, b: cx.exp(a) @ cx.exp(b), a, b) == [2, 1]


def test_an_expression_and_its_alias_are_evaluated_once(there):
    x = cx.Tensor([[1, 2], [3, 4]])
    for axis in (0, 1):
        assert cx.softmax(x, axis).sum(axis).tolist() == pytest.approx([1, 1])


def test_a_product_reads_transposed_matrices_as_they_lie(there, monkeypatch):
    moved = []
    monkeypatch.setattr(LIBRARY, "_reorder", lambda x, *axes: moved.append(axes), raising=True)
    a, b = np.arange(6.0).reshape(2, 3), np.arange(24.0).reshape(2, 3, 4)
    x, y = cx.Tensor(a), cx.Tensor(b)
    np.testing.assert_allclose((x.T @ x).to_numpy(), a.T @ a)
    np.testing.assert_allclose((y @ cx.permute(y, (0, 2, 1))).to_numpy(), b @ b.swapaxes(1, 2))
    assert moved == []


def test_what_arrayfire_has_no_product_for_is_the_cpus_with_one_warning(there):
    x = cx.Tensor([[1, 2], [3, 4]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            assert (x @ x.T).tolist() == [[5, 11], [11, 25]]
    assert len(caught) <= 1  # none where another test had it
    for warning in caught:
        assert "matmul on numpyfire:0 is computed on the CPU" in str(warning.message)


def test_a_device_without_float64_has_it_from_the_cpu_with_one_warning():
    with cx.device("floatfire:0"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x = cx.Tensor(np.array([1.0, 2.0], "float64"))
        assert str(x.dtype) == "float64"
        assert (x * 3 + x).tolist() == [4, 8] and cx.exp(x * 0).tolist() == [1, 1]
        assert x.astype("float32").sum().item() == 3
    assert [w.category for w in caught] == [RuntimeWarning]
    assert "the device has no float64" in str(caught[0].message)
    with cx.device("floatfire:0"), warnings.catch_warnings():
        warnings.simplefilter("error")  # a number in a script is no float64 tensor
        assert (cx.ones(3) * 0.5 + 1).tolist() == [1.5, 1.5, 1.5]


def test_out_of_memory_names_the_sizes_and_the_session_goes_on(there, monkeypatch):
    def refuse(self, name, *arguments):
        raise cx.OutOfMemoryError("its tensors hold 5 bytes")

    x = cx.ones((100, 100))
    cx.eval(x)
    with monkeypatch.context() as patched:
        patched.setattr(type(LIBRARY), "call_for_array", refuse)
        with pytest.raises(cx.OutOfMemoryError, match=r"numpyfire:0.*40,000 bytes.*hold 5 bytes"):
            cx.eval(cx.exp(x))
        with pytest.raises(cx.OutOfMemoryError, match=r"a tensor of 16 bytes was to be copied"):
            cx.Tensor([1.0, 2.0, 3.0, 4.0])
    assert cx.exp(x * 0).sum().item() == 10000


def test_more_elements_than_arrayfire_can_number_are_refused(there):
    with pytest.raises(cx.OutOfMemoryError, match=r"140,737,488,355,328 bytes.*counts 2,147"):
        cx.eval(cx.ones((2**45,)) + 1)
    assert (cx.ones(3) + 1).tolist() == [2, 2, 2]


def test_every_array_is_released_when_its_tensor_goes(there):
    def work():
        x = cx.random.normal((5, 4))
        loss = lambda w: cx.mean((cx.relu(x @ w) - 1) ** 2)
        gradient = cx.grad(loss)(cx.ones((4, 3)))
        return cx.take(gradient, cx.Tensor([0, 2])).to_numpy()

    work()
    gc.collect()
    before = len(LIBRARY.arrays)
    for _ in range(20):
        work()
    gc.collect()
    assert len(LIBRARY.arrays) <= before


def test_steps_are_described_for_people():
    square = ("float32", (4, 4))
    values = (
        Value("input", *square, (), ()),
        Value("tanh", *square, (0,), ()),
        Value("negative", *square, (1,), ()),
        Value("matmul", *square, (2, 1), (0,)),
        Value("cast", "int32", (4, 4), (3,), ()),
        Value("matmul", "int32", (4, 4), (4, 4), (0,)),
    )
    program = Program(values, inputs=(0,), donated=(False,), outputs=(5,))
    lines = backends.load(ENGINE).compile(program, 0).describe()
    assert list(lines) == [
        "elementwise: tanh negative",
        "matmul float32[4, 4]",
        "elementwise: cast",
        "matmul int32[4, 4] on the CPU",
    ]


def test_a_model_trains_as_on_the_cpu():
    losses = []
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = (x.sum(1) > 0).astype("int64")
    for device in ("cpu", "numpyfire:0"):
        with cx.device(device):
            cx.random.seed(1)
            model = cx.Model([cx.layers.Dense(8, 16), cx.layers.ReLU(), cx.layers.Dense(16, 2)])
            model.compile(cx.optimizers.Adam(0.01), "cross_entropy")
            losses.append(model.fit(x, y, epochs=3, batch_size=16, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
