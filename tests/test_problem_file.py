from __future__ import annotations

import io
import subprocess
import sys
import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.expression import Expression, parse_expression
from pkverify.losses import KINDS, REDUCTIONS, Loss, loss_names
from pkverify.models import ExpressionModel, LayeredModel, Model
from pkverify.problem import Dataset, Problem, Regularizer
from pkverify.problem_file import TEMPLATE, parse_problem, read_problem, write_problem
from pkverify.problem_file.reader import SECTIONS

ROOT = Path(__file__).parent.parent
ONE, HALF, ZERO = Fraction(1), Fraction(1, 2), Fraction(0)

CE = """
title = "CE"
[model]
kind = "expression"
params = ["w"]
inputs = ["x"]
output = "w*x + w**2*x**2/2"
[loss]
kind = "squared"
[data]
x = [["1"], ["-1/2"]]
y = ["6/5", 0.1]
[flow]
initial = ["7/10"]
horizon = 3
"""


def parse(text: str, base: Path = ROOT) -> Problem:
    return parse_problem(text, base, "test.toml")


def line(model: str = 'kind = "linear"\nbias = false', **sections: str) -> str:
    """A problem file in sections, each with something that fits the others."""
    known = {
        "model": model,
        "loss": 'kind = "squared"',
        "regularizer": "",
        "data": "x = [1, 2]\ny = [1, 3]",
        "flow": "initial = [1]\nhorizon = 1",
        "query": "",
    } | sections
    return "\n".join(f"[{name}]\n{body}" for name, body in known.items() if body)


# Reading, key by key.


def test_expression_problem() -> None:
    problem = parse(CE)

    formula = parse_expression("w*x + w**2*x**2/2", ["w", "x"])
    data = Dataset(((ONE,), (-HALF,)), ((Fraction(6, 5),), (Fraction(1, 10),)))
    model = ExpressionModel(("w",), ("x",), (formula,))
    assert problem == Problem(model, Loss("squared"), data, (Fraction(7, 10),), Fraction(3), title="CE")


def test_expression_with_several_outputs() -> None:
    text = line(
        'kind = "expression"\nparams = ["u", "v"]\ninputs = ["x"]\noutput = ["u*x", "v*x"]',
        data="x = [1, 2]\ny = [[1, 2], [3, 4]]",
        flow="initial = [1, 2]\nhorizon = 1",
    )

    assert parse(text).model.output_count == 2


@pytest.mark.parametrize(
    ("model", "data", "initial", "expected"),
    [
        ('kind = "linear"', "x = [1]\ny = [1]", 2, LayeredModel("linear", (1, 1), None, True)),
        ('kind = "linear"\nbias = false', "x = [[1, 2]]\ny = [1]", 2, LayeredModel("linear", (2, 1), None, False)),
        ('kind = "linear"\nbias = true', "x = [1]\ny = [[1, 2]]", 4, LayeredModel("linear", (1, 2), None, True)),
        (
            'kind = "mlp"\nlayers = [1, 2, 1]\nactivation = "tanh"',
            "x = [1]\ny = [1]",
            7,
            LayeredModel("mlp", (1, 2, 1), "tanh", True),
        ),
        (
            'kind = "mlp"\nlayers = [1, 2, 1]\nactivation = "relu"\nbias = false',
            "x = [1]\ny = [1]",
            4,
            LayeredModel("mlp", (1, 2, 1), "relu", False),
        ),
        (
            'kind = "deep-linear"\nlayers = [1, 1, 1]',
            "x = [1]\ny = [1]",
            2,
            LayeredModel("deep-linear", (1, 1, 1), None, False),
        ),
        (
            'kind = "deep-linear"\nlayers = [1, 1, 1]\nbias = true',
            "x = [1]\ny = [1]",
            4,
            LayeredModel("deep-linear", (1, 1, 1), None, True),
        ),
    ],
)
def test_built_in_models(model: str, data: str, initial: int, expected: Model) -> None:
    problem = parse(line(model, data=data, flow=f"initial = {[0] * initial}\nhorizon = 1"))

    assert problem.model == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses(kind: str, reduction: str) -> None:
    targets = {
        "softmax-cross-entropy": "x = [1]\ny = [[1, 0]]",
        "nll-probability": "x = [1]",
        "nll-log-probability": "x = [1]",
    }.get(kind, "x = [1]\ny = [1]")
    value = 'value = "(y - target)**4"\n' if kind == "expression" else ""
    initial = "[1, 2]" if kind == "softmax-cross-entropy" else "[1]"
    problem = parse(
        line(
            loss=f'kind = "{kind}"\n{value}reduction = "{reduction}"',
            data=targets,
            flow=f"initial = {initial}\nhorizon = 1",
        )
    )

    assert (problem.loss.kind, problem.loss.reduction) == (kind, reduction)
    assert parse(write_problem(problem)) == problem


def test_vector_losses_number_their_names() -> None:
    text = line(
        loss='kind = "expression"\nvalue = "y0*target1 - y1"',
        data="x = [1]\ny = [[1, 2]]",
        flow="initial = [1, 2]\nhorizon = 1",
    )

    assert parse(text).loss.value == parse_expression("y0*target1 - y1", ["y0", "y1", "target1"])


def test_losses_without_targets_need_no_y() -> None:
    problem = parse(line(loss='kind = "expression"\nvalue = "y**2"', data="x = [1, 2]"))

    assert problem.data.targets == ((), ())


def test_regularizers() -> None:
    formula = parse(line(regularizer='value = "w_1_1**2/5"')).regularizer
    named = parse(line(regularizer='kind = "expression"\nvalue = "w_1_1**2/5"')).regularizer
    penalty = parse(line(regularizer='kind = "l2"\nstrength = "1/5"')).regularizer

    assert formula == named == Regularizer(parse_expression("w_1_1**2/5", ["w_1_1"]))
    assert penalty == Regularizer(strength=Fraction(1, 5))


def test_queries() -> None:
    assert parse(line()).queries is None
    assert parse(line(query="x = [0.1, [2]]")).queries == ((Fraction(1, 10),), (Fraction(2),))


def test_numbers_are_exact() -> None:
    data = parse(
        line(data='x = [0.1, 1e-3, "1/3", "0.1", "1e-3", -2, 1_000.5, 0x10]\ny = [0, 0, 0, 0, 0, 0, 0, 0]')
    ).data

    assert [str(row[0]) for row in data.inputs] == ["1/10", "1/1000", "1/3", "1/10", "1/1000", "-2", "2001/2", "16"]


def test_classes() -> None:
    text = line(
        loss='kind = "softmax-cross-entropy"',
        data='x = [1]\ny = [[1, 0]]\nclasses = ["cat", "dog"]',
        flow="initial = [0, 0]\nhorizon = 1",
    )

    assert parse(text).data.classes == ("cat", "dog")


# CSV files.


def csv_problem(folder: Path, csv: str, data: str, *, loss: str = "squared", initial: int = 1) -> Problem:
    (folder / "d.csv").write_text(csv, encoding="utf-8")
    text = line(loss=f'kind = "{loss}"', data=f'csv = "d.csv"\n{data}', flow=f"initial = {[0] * initial}\nhorizon = 1")
    return parse(text, folder)


def test_columns_by_name(tmp_path: Path) -> None:
    problem = csv_problem(tmp_path, "c, a ,b\n3,0.1,1/3\n\n6,4,5\n", 'inputs = ["b", "a"]\ntarget = "c"', initial=2)

    assert problem.data.inputs == ((Fraction(1, 3), Fraction(1, 10)), (Fraction(5), Fraction(4)))
    assert problem.data.targets == ((Fraction(3),), (Fraction(6),))
    assert parse(write_problem(problem)) == problem


def test_several_target_columns(tmp_path: Path) -> None:
    problem = csv_problem(tmp_path, "a,b,c\n1,2,3\n", 'inputs = ["a"]\ntarget = ["c", "b"]', initial=2)

    assert problem.data.targets == ((Fraction(3), Fraction(2)),)


@pytest.mark.parametrize("target", ["", "target = []"])
def test_columns_without_target(tmp_path: Path, target: str) -> None:
    problem = csv_problem(tmp_path, "a\n1\n2\n", f'inputs = ["a"]\n{target}', loss="nll-probability")

    assert problem.data.targets == ((), ())


@pytest.mark.parametrize(
    ("names", "classes"),
    [(["pear", "fig", "pear"], ("fig", "pear")), (["10", "9", "10"], ("9", "10")), (["b", "10", "b"], ("10", "b"))],
)
def test_class_names_become_one_hot(tmp_path: Path, names: list[str], classes: tuple[str, ...]) -> None:
    csv = "a,kind\n" + "".join(f"{k},{name}\n" for k, name in enumerate(names))
    problem = csv_problem(tmp_path, csv, 'inputs = ["a"]\ntarget = "kind"', loss="softmax-cross-entropy", initial=2)

    assert problem.data.classes == classes
    assert problem.data.targets == ((ZERO, ONE), (ONE, ZERO), (ZERO, ONE))
    assert parse(write_problem(problem)) == problem


def test_softmax_targets_may_be_columns(tmp_path: Path) -> None:
    data = 'inputs = ["a"]\ntarget = ["p", "q"]'
    problem = csv_problem(tmp_path, "a,p,q\n1,0,1\n", data, loss="softmax-cross-entropy", initial=2)

    assert problem.data.targets == ((ZERO, ONE),)
    assert problem.data.classes == ()


def test_quoted_cells_and_a_byte_order_mark(tmp_path: Path) -> None:
    problem = csv_problem(tmp_path, '\ufeff"a","b, c"\r\n"1","2"\r\n', 'inputs = ["a"]\ntarget = "b, c"')

    assert problem.data == Dataset(((ONE,),), ((Fraction(2),),))


# Where the text comes from.


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    text = line(data='csv = "d.csv"\ninputs = ["a"]\ntarget = "b"')
    (tmp_path / "deep" / "p.toml").write_text("\ufeff" + text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert read_problem("deep/p.toml") == read_problem(tmp_path / "deep" / "p.toml")


@pytest.mark.parametrize("binary", [True, False])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, binary: bool) -> None:
    stream = io.TextIOWrapper(io.BytesIO(CE.encode()), encoding="utf-8") if binary else io.StringIO(CE)
    monkeypatch.setattr(sys, "stdin", stream)

    assert read_problem("-") == parse(CE)


def test_the_template_works_and_names_every_key() -> None:
    problem = parse(TEMPLATE)

    assert parse(write_problem(problem)) == problem
    for name, (_, keys) in SECTIONS.items():
        assert f"[{name}]" in TEMPLATE
        assert all(f"{key} = " in TEMPLATE for key in keys)
    assert all(f'"{kind}"' in TEMPLATE for kind in KINDS)


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        ('kind = "linear"', 'kind = "squared"'),
        ('kind = "mlp"\nlayers = [1, 1]\nactivation = "tanh"', 'kind = "squared"\nreduction = "mean"'),
        ('kind = "deep-linear"\nlayers = [1, 1, 1]\nbias = false', 'kind = "expression"\nvalue = "(y-target)**2"'),
    ],
)
def test_the_lines_of_the_template_fit_together(model: str, loss: str) -> None:
    assert parse(line(model, loss=loss, flow="initial = [1, 1]\nhorizon = 1")).model.output_count == 1


def test_loading_is_light() -> None:
    code = "import sys, pkverify.problem_file; print({'sympy', 'torch', 'numpy', 'mpmath', 'flint'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"


# Round trips.

NUMBERS = st.fractions(max_denominator=10**6) | st.integers(-3, 3).map(Fraction)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def vectors(size: int) -> st.SearchStrategy[tuple[Fraction, ...]]:
    return st.tuples(*[NUMBERS] * size)


def formulas(names: list[str]) -> st.SearchStrategy[Expression]:
    atoms = st.sampled_from([*names, "2", "0.5", "pi"])
    terms = st.tuples(atoms, st.sampled_from(["+", "*", " - ", "\t/\n"]), st.sampled_from(["exp", "tanh"]), atoms)
    return terms.map(lambda t: parse_expression(f"{t[0]}{t[1]}{t[2]}({t[3]})", names))


def models(outputs: int) -> st.SearchStrategy[Model]:
    names = ["u", "v_2", "x", "x1"]
    expression = st.tuples(*[formulas(names)] * outputs).map(lambda f: ExpressionModel(("u", "v_2"), ("x", "x1"), f))
    deep = st.builds(LayeredModel, st.just("deep-linear"), st.just((2, 1, outputs)), st.none(), st.booleans())
    net = st.builds(
        LayeredModel, st.just("mlp"), st.just((1, 2, outputs)), st.sampled_from(["tanh", "erf"]), st.booleans()
    )
    return (
        expression
        | deep
        | net
        | st.builds(LayeredModel, st.just("linear"), st.just((3, outputs)), st.none(), st.booleans())
    )


@st.composite
def losses(draw: st.DrawFn) -> tuple[Loss, int, int]:
    """A loss, with the number of outputs and of targets that it goes with."""
    kind, reduction = draw(st.sampled_from(KINDS)), draw(st.sampled_from(REDUCTIONS))
    outputs = draw(st.integers(2, 3)) if kind == "softmax-cross-entropy" else draw(st.integers(1, 2))
    if kind not in {"squared", "softmax-cross-entropy", "expression"}:
        outputs = 1
    names = [*loss_names("y", outputs), *loss_names("target", outputs)]
    loss = Loss(kind, draw(formulas(names)) if kind == "expression" else None, reduction)
    return loss, outputs, loss.target_count(outputs)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    loss, outputs, targets = draw(losses())
    model = draw(models(outputs if targets else 1) if outputs == 1 else models(outputs))
    rows = draw(st.lists(vectors(model.input_count), min_size=1, max_size=3))
    answers: st.SearchStrategy[tuple[Fraction, ...]] = vectors(targets)
    if loss.kind == "logistic":
        answers = st.sampled_from([(ZERO,), (ONE,)])
    if loss.kind == "softmax-cross-entropy":
        answers = st.permutations([ONE, *[ZERO] * (outputs - 1)]).map(tuple)
    chosen = tuple(draw(answers) for _ in rows)
    classes = draw(st.just(()) | st.tuples(*[WORDS] * outputs)) if targets else ()
    penalty = formulas(list(model.params)).map(Regularizer) | NUMBERS.map(lambda s: Regularizer(strength=s))
    return Problem(
        model,
        loss,
        Dataset(tuple(rows), chosen, classes),
        draw(vectors(len(model.params))),
        draw(st.fractions(min_value=Fraction(1, 100), max_denominator=999)),
        draw(st.none() | st.lists(vectors(model.input_count), min_size=1, max_size=2).map(tuple)),
        draw(st.none() | penalty),
        draw(WORDS),
    )


def writable(problem: Problem) -> bool:
    linear = problem.model.kind == "linear"
    return not (linear and problem.model.output_count > 1 and not any(problem.data.targets))


@given(problems())
@settings(max_examples=150, deadline=None)
def test_what_is_written_reads_to_the_same_problem(problem: Problem) -> None:
    if not writable(problem):
        with pytest.raises(InputError, match="cannot be written"):
            write_problem(problem)
        return
    text = write_problem(problem)

    assert parse(text) == problem
    assert write_problem(parse(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_titles_are_quoted_safely(title: str) -> None:
    problem = replace(parse(CE), title=title)

    assert tomllib.loads(write_problem(problem)).get("title", "") == title
    assert parse(write_problem(problem)) == problem


def test_what_a_file_cannot_say_is_refused() -> None:
    class Other:
        kind, params, input_count, output_count = "other", ("w",), 1, 1

        def build(self, algebra: Any, params: Any, inputs: Any) -> Any:
            raise NotImplementedError

    problem = parse(CE)
    with pytest.raises(InputError, match="kind 'other' cannot be written"):
        write_problem(replace(problem, model=Other()))
    with pytest.raises(InputError, match="cannot be written"):
        write_problem(replace(problem, title="\ud800"))
