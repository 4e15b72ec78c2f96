"""What does a certified decomposition cost, and how does it compare with ``mpmath.odefun``, which certifies nothing?

    python -m tests.benchmarks.certified [--digits 30,50] [--radii 24,60] [--tables] [--quick]
    MPMATH_NOGMPY=1 python -m tests.benchmarks.certified     # mpmath in pure Python

First the two-parameter tanh neuron, two examples, one query, to t = 2: ``odefun`` carries the four path integrals as
states; the certified route encloses flow, kernels, contributions and residual. With ``--tables`` the time against the
digits, the parameters (2 to 30), the examples (1 to 50), the queries and the horizon (1 to 100).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable

import mpmath

from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.errors import PkverifyError
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from tests.benchmarks.precise import NEURON, by_odefun

SEED = 1


def network(width: int, examples: int, horizon: int, queries: int = 1) -> Problem:
    """A tanh network [2, width, 1] on random data, mean loss: 4 width + 1 parameters."""
    rng = random.Random(SEED)  # noqa: S311 - random data, no secrets

    def numbers(count: int, scale: float) -> list[str]:
        return [f"{round(20 * scale * rng.gauss(0, 1))}/20" for _ in range(count)]

    x, y = [numbers(2, 1.0) for _ in range(examples)], numbers(examples, 0.7)
    start, asked = numbers(4 * width + 1, 0.5), [numbers(2, 1.0) for _ in range(queries)]
    text = f"""
    model = {{kind = "mlp", layers = [2, {width}, 1], activation = "tanh"}}
    loss = {{kind = "squared", reduction = "mean"}}
    data = {{x = {x}, y = {y}}}
    flow = {{initial = {start}, horizon = {horizon}}}
    query = {{x = {asked}}}
    """
    return parse_problem(text.replace("'", '"'))


def neurons(parameters: int) -> Problem:
    """``tanh`` of a sum of so many parameters, each with its power of the input."""
    terms = " + ".join(f"w{k}*x**{k}" for k in range(parameters))
    names, start = [f'"w{k}"' for k in range(parameters)], ['"1/10"'] * parameters
    return parse_problem(f"""
    model = {{kind = "expression", params = [{", ".join(names)}], inputs = ["x"], output = "tanh({terms})"}}
    loss = {{kind = "squared"}}
    data = {{x = [["1"], ["-1/2"], ["1/3"]], y = ["7/10", "1/5", "-1/10"]}}
    flow = {{initial = [{", ".join(start)}], horizon = 1}}
    query = {{x = [["3/10"]]}}
    """)


def timed(problem: Problem, digits: int) -> tuple[float, Enclosure]:
    start = time.perf_counter()
    found = enclose(problem, digits)
    return time.perf_counter() - start, found


def against_odefun(pairs: Iterable[tuple[int, int]]) -> None:
    problem = parse_problem(NEURON)
    timed(problem, 10)  # imports
    print(f"mpmath {mpmath.__version__}, backend {mpmath.libmp.BACKEND}")
    print(f"{'odefun digits':>13} {'odefun':>10} {'radius asked':>13} {'reached':>9} {'certified':>10} {'ratio':>7}")
    for digits, radius in pairs:
        start = time.perf_counter()
        by_odefun(digits)
        slow = time.perf_counter() - start
        fast, found = min((timed(problem, radius) for _ in range(3)), key=lambda pair: pair[0])
        reached = f"{f'1e-{radius}':>13} {float(found.widest):9.1e}"
        print(f"{digits:13} {slow:8.2f} s {reached} {fast:8.3f} s {slow / fast:7.0f}", flush=True)


def table(title: str, rows: Iterable[tuple[str, Problem, int]]) -> None:
    print(f"\n{title:>24} {'time':>10} {'steps':>6} {'radius':>9}")
    for label, problem, digits in rows:
        try:
            seconds, found = timed(problem, digits)
        except PkverifyError as error:
            print(f"{label:>24} {error.what}", flush=True)
        else:
            print(f"{label:>24} {seconds:8.2f} s {len(found.steps):6} {float(found.widest):9.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", default="30,50", help="digits of odefun; empty leaves the comparison out")
    parser.add_argument("--radii", default="24,60", help="for each of them the certified radius, as a power of ten")
    parser.add_argument("--tables", action="store_true", help="time against digits, parameters, examples and horizon")
    parser.add_argument("--quick", action="store_true", help="leave the largest sizes of the tables out")
    arguments = parser.parse_args()
    if arguments.digits:
        digits, radii = (list(map(int, text.split(","))) for text in (arguments.digits, arguments.radii))
        against_odefun(zip(digits, radii, strict=True))
    if arguments.tables:
        last = -1 if arguments.quick else None
        neuron = parse_problem(NEURON)
        table("digits", [(str(d), neuron, d) for d in (10, 20, 40, 80, 160)[:last]])
        table("parameters, one unit", [(str(d), neurons(d), 20) for d in (2, 4, 8, 16, 30)[:last]])
        table("parameters, network", [(str(4 * w + 1), network(w, 10, 1), 20) for w in (1, 2, 4, 7)[:last]])
        table("examples", [(str(m), network(2, m, 1), 20) for m in (1, 5, 20, 50)[:last]])
        table("queries", [(str(q), network(2, 10, 1, q), 20) for q in (1, 5, 20)[:last]])
        table("horizon", [(str(t), network(1, 5, t), 20) for t in (1, 3, 10, 30, 100)[:last]])
        table("30 params, horizon", [(str(t), network(7, 10, t), 20) for t in (1, 10)[:last]])


if __name__ == "__main__":
    main()
