"""cx.compile: traced once per signature, replayed afterwards, never wrong about what changed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pycyxwiz as cx
from pycyxwiz import _core


class Counted:
    """A function that counts how often its Python code runs."""

    def __init__(self, function):
        self.function, self.runs = function, 0

    def __call__(self, *args, **kwargs):
        self.runs += 1
        return self.function(*args, **kwargs)


def counted(function, **options):
    inner = Counted(function)

    def outer(*args, **kwargs):
        return inner(*args, **kwargs)

    return cx.compile(outer, **options), inner


def test_a_compiled_function_runs_its_code_once():
    compiled, inner = counted(lambda x, y: {"sum": x + y, "pair": (x * 2, None, [y])})
    for i in range(5):
        result = compiled(cx.full((3,), float(i)), cx.ones(3))
        assert result["sum"].tolist() == [i + 1.0] * 3
        assert result["pair"][0].tolist() == [2.0 * i] * 3 and result["pair"][1] is None
        assert result["pair"][2][0].tolist() == [1, 1, 1]
    assert inner.runs == 1


def test_a_changed_number_does_not_trace_again():
    compiled, inner = counted(lambda x, a, b: x * a + b)
    for i in range(20):
        assert compiled(cx.Tensor([2.0]), 0.5 * i, i).item() == pytest.approx(2 * 0.5 * i + i)
    assert inner.runs == 1


def test_shapes_dtypes_and_static_values_trace_again_once_each():
    compiled, inner = counted(lambda x, mode, flag: x + 1 if mode == "a" and flag else x - 1)
    for _ in range(3):
        assert compiled(cx.ones(2), "a", True).tolist() == [2, 2]
        assert compiled(cx.ones(3), "a", True).tolist() == [2, 2, 2]
        assert compiled(cx.ones(2), "b", True).tolist() == [0, 0]
        assert compiled(cx.ones(2), "a", False).tolist() == [0, 0]
        assert compiled(cx.ones(2, dtype="float64"), "a", True).dtype == "float64"
    assert inner.runs == 5


def test_static_arguments_are_python_values():
    with pytest.raises(cx.TracingError):
        cx.compile(lambda x, n: [x * i for i in range(n)])(cx.ones(1), 3)

    @cx.compile
    def wrong(x, n):
        return x.reshape(n, -1) if n > 2 else x

    with pytest.raises(cx.TracingError, match=r'static_argnames=\("n",\)'):
        wrong(cx.ones(4), 4)

    right = cx.compile(lambda x, n: x.reshape(n, -1), static_argnames="n")
    assert right(cx.ones(4), 4).shape == (4, 1)
    assert right(cx.ones(4), n=2).shape == (2, 2)


def test_lists_dicts_arrays_and_keywords_are_arguments():
    compiled, inner = counted(lambda tree, *, scale: cx.sum(tree["a"][0] * scale) + tree["b"])
    for i in range(3):
        tree = {"a": [np.full(4, float(i))], "b": cx.Tensor(1.0)}
        assert compiled(tree, scale=2.0).item() == 8 * i + 1
    assert inner.runs == 1


def test_results_may_be_inputs_constants_and_the_same_tensor_twice():
    constant = cx.Tensor([7.0])
    compiled = cx.compile(lambda x: (x, constant, x, cx.ones(2), 5, "text"))
    for value in (1.0, 2.0):
        a, b, c, d, e, f = compiled(cx.Tensor([value]))
        assert (a.tolist(), b.tolist(), c.tolist(), d.tolist(), e, f) == (
            [value],
            [7],
            [value],
            [1, 1],
            5,
            "text",
        )


def test_random_numbers_are_drawn_anew_and_as_eager_code_draws_them():
    compiled = cx.compile(lambda x: (cx.random.normal([3]), cx.random.uniform([2]) + x))
    cx.random.seed(5)
    traced = [compiled(cx.zeros(2)) for _ in range(3)]
    cx.random.seed(5)
    for a, b in traced:
        np.testing.assert_array_equal(a.to_numpy(), cx.random.normal([3]).to_numpy())
        np.testing.assert_array_equal(b.to_numpy(), cx.random.uniform([2]).to_numpy())
    assert traced[0][0].tolist() != traced[1][0].tolist()


def test_layers_reached_through_a_closure_are_never_frozen():
    layer = cx.layers.Dense(2, 1, bias=False)
    compiled, inner = counted(lambda x: layer(x))
    x = cx.ones((1, 2))
    compiled(x)
    layer.weight = cx.Tensor([[10.0], [20.0]])
    assert compiled(x).item() == 30
    assert inner.runs == 1


def test_a_compiled_training_step_changes_its_model():
    cx.random.seed(0)
    model = cx.Model([cx.layers.Dense(2, 1)])
    optimizer = cx.optimizers.SGD(lr=0.1)
    loss = cx.value_and_grad(lambda model, x, y: cx.losses.mse(model(x), y))

    def step(x, y):
        value, gradient = loss(model, x, y)
        optimizer.update(model, gradient)
        return value

    compiled, inner = counted(step)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype(np.float32)
    y = x @ np.array([[2.0], [-3.0]], np.float32) + 1
    values = [compiled(cx.Tensor(x), cx.Tensor(y)).item() for _ in range(200)]
    assert values[-1] < 1e-3 < values[0]
    np.testing.assert_allclose(model.layers[0].weight.to_numpy(), [[2], [-3]], atol=0.05)
    assert inner.runs <= 2


def test_compiling_and_differentiating_nest_in_both_orders():
    square = lambda x: cx.sum(x * x)
    x = cx.Tensor([1.0, 2.0])
    assert cx.compile(cx.grad(square))(x).tolist() == [2, 4]
    assert cx.grad(cx.compile(square))(x).tolist() == [2, 4]
    assert cx.compile(cx.grad(cx.compile(cx.grad(lambda x: x**3))))(cx.Tensor(2.0)).item() == 12
    inner = cx.compile(lambda x: x + 1)
    assert cx.compile(lambda x: inner(x) * inner(x))(x).tolist() == [4, 9]


def test_assignments_to_an_argument_stay_inside():
    def both(x, parts):
        x += 1
        x[0] = 7.0
        parts["a"] *= 2
        return x, parts["a"]

    x, a = cx.ones(2), cx.ones(2)
    for _ in range(2):
        first, second = cx.compile(both)(x, {"a": a})
        assert first.tolist() == [7, 2] and second.tolist() == [2, 2]
    assert x.tolist() == a.tolist() == [1, 1]


def test_a_layer_counts_with_an_in_place_operator():
    class Counting(cx.layers.Layer):
        def __init__(self):
            self.scale = cx.ones([2])
            self._calls = cx.zeros([])

        def forward(self, x):
            self._calls += 1
            scale = self.scale
            scale *= 2.0
            return x * self.scale

    eager, compiled = Counting(), Counting()
    call = cx.compile(lambda layer, x: layer(x))
    for _ in range(3):
        assert eager(cx.ones(2)).tolist() == call(compiled, cx.ones(2)).tolist()
    assert eager.state().keys() == compiled.state().keys()
    for name, value in eager.state().items():
        assert value.tolist() == compiled.state()[name].tolist()
    assert compiled._calls.item() == 3 and compiled.scale.tolist() == [8, 8]


@pytest.mark.parametrize(
    "read", [float, bool, int, lambda t: t.item(), lambda t: t.to_numpy(), lambda t: list(range(t))]
)
def test_a_value_asked_for_while_tracing_is_an_error(read):
    with pytest.raises(cx.TracingError):
        cx.compile(lambda x: x * read(x.astype("int64").sum()))(cx.ones(1))
    assert (cx.ones(1) + 1).item() == 2  # and tracing has ended


def test_a_traced_tensor_that_leaks_is_no_crash():
    leaked = []
    cx.compile(lambda x: leaked.append(x) or x + 1)(cx.ones(2))
    assert repr(leaked[0]) == "<Tensor shape=[2] device=CPU dtype=float32 traced>"
    with pytest.raises(cx.TracingError):
        leaked[0].to_numpy()
    with pytest.raises(cx.TracingError):
        (leaked[0] + 1).tolist()


def test_an_exception_while_tracing_passes_through():
    compiled = cx.compile(lambda x: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        compiled(cx.ones(1))
    assert (cx.ones(2) * 3).tolist() == [3, 3]


def test_what_is_neither_tensor_nor_number_is_refused():
    with pytest.raises(TypeError, match="neither a tensor nor a number"):
        cx.compile(lambda x, y: x)(cx.ones(1), object())
    with pytest.raises(TypeError) as caught:
        cx.compile(5)
    assert str(caught.value) == "compile takes a function, got 5"
    with pytest.raises(ValueError) as unknown:
        cx.compile(lambda x: x, static_argnames="n")
    assert str(unknown.value) == (
        "compile: static_argnames names n, but "
        "test_what_is_neither_tensor_nor_number_is_refused.<locals>.<lambda> takes x"
    )
    with pytest.raises(TypeError, match="must be hashable"):
        cx.compile(lambda x, n: x, static_argnames="n")(cx.ones(1), [1])


def test_ever_new_shapes_are_warned_about_and_bounded():
    compiled = cx.compile(lambda x: x + 1)
    with pytest.warns(RuntimeWarning, match="was traced 32 times"):
        for n in range(1, 80):
            compiled(cx.ones(n))
    assert "64 traces" in repr(compiled)


def test_methods_may_be_compiled():
    class Scaler:
        def __init__(self, by):
            self.by = by

        @staticmethod
        @cx.compile
        def twice(x):
            return x * 2

    assert Scaler(3).twice(cx.ones(1)).item() == 2


def test_a_second_call_gives_no_warning_and_the_function_keeps_its_name():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @cx.compile
        def named(x):
            """Its text."""
            return x

        named(cx.ones(1))
        named(cx.ones(1))
    assert named.__name__ == "named" and named.__doc__ == "Its text."


def test_eval_takes_any_nesting():
    x = cx.ones(3) + 1
    cx.eval(x, [x * 2, {"a": x}], None, cx.layers.Dense(1, 1))
    cx.eval()
    assert x.tolist() == [2, 2, 2]


# --- many runs in one call ------------------------------------------------------------------------


def countdown() -> _core.Program:
    """(values, position, total) → total + values[position]."""
    with _core.Tracing() as tracing:
        values, total = _core.placeholder((5,), "float32"), _core.placeholder((), "float32")
        position = _core.placeholder((), "int64", weak=True)
        more = total + _core.take(values, position)
    return _core.Program([values, position, total], [more], tracing, [False, False, True])


def test_a_repeated_program_feeds_its_outputs_back_and_counts():
    values = cx.Tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    outputs, runs = countdown().repeat([values, 0, cx.Tensor(100.0)], 1, 2, 3, 60.0)
    assert runs == 3
    assert [output.item() for output in outputs] == [100 + 1 + 4 + 16]


def test_a_repeated_program_runs_once_when_there_is_no_time():
    values = cx.Tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    outputs, runs = countdown().repeat([values, 1, cx.Tensor(0.0)], 1, 1, 3, 0.0)
    assert (outputs[0].item(), runs) == (2.0, 1)


def test_every_run_of_a_repeated_program_draws_anew():
    with _core.Tracing() as tracing:
        position = _core.placeholder((), "int64", weak=True)
        total = _core.placeholder((4,), "float32")
        more = total + cx.random.uniform((4,))
    program = _core.Program([position, total], [more], tracing, [False, True])
    cx.random.seed(1)
    together = program.repeat([0, cx.zeros([4])], 0, 1, 3, 60.0)[0][0].to_numpy()
    cx.random.seed(1)
    apart = sum(cx.random.uniform((4,)).to_numpy() for _ in range(3))
    np.testing.assert_allclose(together, apart, rtol=1e-6)


def test_a_failing_run_of_a_repeated_program_keeps_the_values_it_was_given():
    values, total = cx.Tensor([1.0, 2.0, 4.0, 8.0, 16.0]), cx.Tensor(0.0)
    with pytest.raises(IndexError):
        countdown().repeat([values, 3, cx.Tensor(total)], 1, 1, 9, 60.0)
    assert (values.tolist(), total.item()) == ([1.0, 2.0, 4.0, 8.0, 16.0], 0.0)


@pytest.mark.parametrize(
    ("counter", "message"),
    [
        (0, "Program.repeat: the counter must be an argument that is one int64"),
        (9, "Program.repeat: the counter must be an argument that is one int64"),
    ],
)
def test_a_counter_that_is_not_one_int64_is_refused(counter, message):
    with pytest.raises(cx.DTypeError) as caught:
        countdown().repeat([cx.zeros([5]), 0, cx.Tensor(0.0)], counter, 1, 1, 1.0)
    assert str(caught.value) == message
