"""How much faster is the precise route than ``mpmath.odefun`` on the same augmented system?

    python tests/benchmarks/precise.py [--digits 15,30,50] [--repeat 3]

Both follow the two-parameter tanh neuron f = tanh(w0 x + w1), two examples, one query, to t = 2, with the path kernel
and the contribution of each example: six states. ``odefun`` carries the integrals as states. The precise route's time
is that of the whole decomposition: compiling the graph, the pilot run, the main run, the error estimate. All times
come from one run; the digits are compared; mpmath's backend is named (``MPMATH_NOGMPY=1`` forces the pure one).
"""

from __future__ import annotations

import argparse
import time

import mpmath

from pkverify.precise.route import solve_precise
from pkverify.problem_file import parse_problem

NEURON = """
model = {kind = "expression", params = ["w0", "w1"], inputs = ["x"], output = "tanh(w0*x + w1)"}
loss = {kind = "squared"}
data = {x = [["1"], ["-1/2"]], y = ["7/10", "1/5"]}
flow = {initial = ["1/10", "-1/5"], horizon = 2}
query = {x = [["3/10"]]}
"""


def by_odefun(digits: int) -> list[mpmath.mpf]:
    """w0, w1 at the horizon, then K and the contribution (with its sign turned) of each example."""
    mpmath.mp.dps = digits
    mpf, tanh = mpmath.mpf, mpmath.tanh
    inputs, targets, query = [mpf(1), -mpf(1) / 2], [mpf(7) / 10, mpf(1) / 5], mpf(3) / 10

    def rates(_: mpmath.mpf, state: list[mpmath.mpf]) -> list[mpmath.mpf]:
        a, b = state[:2]
        slope = 1 - tanh(a * query + b) ** 2
        da, db, integrands = mpf(0), mpf(0), []
        for x, target in zip(inputs, targets, strict=True):
            y = tanh(a * x + b)
            error, s = y - target, 1 - y * y
            da -= error * s * x
            db -= error * s
            kernel = slope * s * (query * x + 1)
            integrands += [kernel, error * kernel]
        return [da, db, *integrands]

    return list(mpmath.odefun(rates, 0, [mpf(1) / 10, -mpf(1) / 5] + [mpf(0)] * 4)(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", default="15,30,50")
    parser.add_argument("--repeat", type=int, default=3, help="runs of the precise route; the best counts")
    arguments = parser.parse_args()
    problem = parse_problem(NEURON)
    solve_precise(problem, 15)  # imports
    print(f"mpmath {mpmath.__version__}, backend {mpmath.libmp.BACKEND}")
    print(f"{'digits':>6} {'odefun':>10} {'pkverify':>10} {'ratio':>7}  largest difference")
    for digits in map(int, arguments.digits.split(",")):
        start = time.perf_counter()
        expected = by_odefun(digits)
        slow = time.perf_counter() - start
        fast = min(timed(problem, digits) for _ in range(arguments.repeat))
        solution = solve_precise(problem, digits)
        found = [k for i in range(2) for k in (solution.path_kernels[0][i][0][0], -solution.contributions[0][i][0])]
        with mpmath.workdps(digits + 10):
            difference = max(
                abs(mpmath.mpf(a.numerator) / a.denominator - b) for a, b in zip(found, expected[2:], strict=True)
            )
            print(
                f"{digits:6} {slow:8.2f} s {fast:8.4f} s {slow / fast:7.0f}  {mpmath.nstr(difference, 3)}", flush=True
            )


def timed(problem: object, digits: int) -> float:
    start = time.perf_counter()
    solve_precise(problem, digits)  # type: ignore[arg-type]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
