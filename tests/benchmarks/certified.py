"""What does a certified decomposition cost, and how does it compare with ``mpmath.odefun``, which certifies nothing?

    python -m tests.benchmarks.certified [--digits 30,50] [--radii 24,60] [--tables] [--quick] [--plot FILE]
    MPMATH_NOGMPY=1 python -m tests.benchmarks.certified     # mpmath in pure Python

First the two-parameter tanh neuron, two examples, one query, to t = 2: ``odefun`` carries the four path integrals as
states; the certified route encloses flow, kernels, contributions and residual. With ``--tables`` the time against the
digits, the parameters (2 to 30), the examples (1 to 50), the queries and the horizon (1 to 100); with ``--plot`` four
of these tables as a picture (SVG). Times are processor times.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable

import matplotlib
import mpmath
from matplotlib import pyplot, ticker

from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.errors import PkverifyError
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from tests.benchmarks.precise import NEURON, by_odefun

SEED = 1
SHORT = 5.0  # seconds of a run that is repeated


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
    """Seconds of processor time, which a busy machine disturbs least, and what was found."""
    start = time.process_time()
    found = enclose(problem, digits)
    return time.process_time() - start, found


def against_odefun(pairs: Iterable[tuple[int, int]]) -> None:
    problem = parse_problem(NEURON)
    timed(problem, 10)  # imports
    print(f"mpmath {mpmath.__version__}, backend {mpmath.libmp.BACKEND}")
    print(f"{'odefun digits':>13} {'odefun':>10} {'radius asked':>13} {'reached':>9} {'certified':>10} {'ratio':>7}")
    for digits, radius in pairs:
        start = time.process_time()
        by_odefun(digits)
        slow = time.process_time() - start
        fast, found = min((timed(problem, radius) for _ in range(3)), key=lambda pair: pair[0])
        reached = f"{f'1e-{radius}':>13} {float(found.widest):9.1e}"
        print(f"{digits:13} {slow:8.2f} s {reached} {fast:8.3f} s {slow / fast:7.0f}", flush=True)


def table(title: str, rows: Iterable[tuple[str, Problem, int]]) -> list[tuple[float, float]]:
    """Prints a table, the fastest of three runs where they are short; its (label, seconds) come back."""
    points: list[tuple[float, float]] = []
    print(f"\n{title:>24} {'time':>10} {'steps':>6} {'radius':>9}")
    for label, problem, digits in rows:
        try:
            seconds, found = timed(problem, digits)
            again = 2 if seconds < SHORT else 0
            seconds = min([seconds, *(timed(problem, digits)[0] for _ in range(again))])
        except PkverifyError as error:
            print(f"{label:>24} {error.what}", flush=True)
        else:
            print(f"{label:>24} {seconds:8.2f} s {len(found.steps):6} {float(found.widest):9.1e}", flush=True)
            points.append((float(label), seconds))
    return points


def draw(path: str, tables: dict[str, list[tuple[float, float]]]) -> None:
    """Seconds against each quantity, on logarithmic axes, without the things that differ from run to run in an SVG."""
    matplotlib.rcParams.update({"svg.hashsalt": "pkverify", "font.size": 9, "svg.fonttype": "none"})
    figure, axes = pyplot.subplots(1, len(tables), figsize=(9, 2.6), sharey=True, layout="constrained")
    for axis, (title, points) in zip(axes, tables.items(), strict=True):
        x, seconds = zip(*points, strict=True)
        axis.loglog(x, seconds, "o-", color="#1f5a96", markersize=4, linewidth=1.2)
        axis.set_xlabel(title)
        axis.set_xticks(x, [f"{value:g}" for value in x])
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.grid(visible=True, which="major", linewidth=0.4, color="#cccccc")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds")
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", default="30,50", help="digits of odefun; empty leaves the comparison out")
    parser.add_argument("--radii", default="24,60", help="for each of them the certified radius, as a power of ten")
    parser.add_argument("--tables", action="store_true", help="time against digits, parameters, examples and horizon")
    parser.add_argument("--quick", action="store_true", help="leave the largest sizes of the tables out")
    parser.add_argument("--plot", help="write the tables that are drawn to this file (SVG)")
    arguments = parser.parse_args()
    if arguments.digits:
        digits, radii = (list(map(int, text.split(","))) for text in (arguments.digits, arguments.radii))
        against_odefun(zip(digits, radii, strict=True))
    if arguments.tables:
        last = -1 if arguments.quick else None
        neuron = parse_problem(NEURON)
        drawn = {
            "digits": table("digits", [(str(d), neuron, d) for d in (10, 20, 40, 80, 160)[:last]]),
            "parameters": table("parameters", [(str(4 * w + 1), network(w, 10, 1), 20) for w in (1, 2, 4, 7)[:last]]),
            "examples": table("examples", [(str(m), network(2, m, 1), 20) for m in (1, 5, 20, 50)[:last]]),
            "horizon": table("horizon", [(str(t), network(1, 5, t), 20) for t in (1, 3, 10, 30, 100)[:last]]),
        }
        table("parameters, one unit", [(str(d), neurons(d), 20) for d in (2, 4, 8, 16, 30)[:last]])
        table("queries", [(str(q), network(2, 10, 1, q), 20) for q in (1, 5, 20)[:last]])
        table("queries, 29 params", [(str(q), network(7, 10, 1, q), 20) for q in (1, 5, 20)[:last]])
        table("29 params, horizon", [(str(t), network(7, 10, t), 20) for t in (1, 10)[:last]])
        if arguments.plot:
            draw(arguments.plot, drawn)


if __name__ == "__main__":
    main()
