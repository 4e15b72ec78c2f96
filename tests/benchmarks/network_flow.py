"""W5: a gradient flow of a tanh network 20-32-32-1, its identity, and what the integrator costs beside torchdiffeq.

    python tests/benchmarks/network_flow.py [--device cpu] [--overhead-size 1000000]

Three questions. How exact is the final output, for the tolerance that was asked for? How far is the identity from
closed, and what do the path integrals cost beside the flow? And, on a right side that costs next to nothing, what does
a step cost by itself: in torchdiffeq (its steps ending at the horizon, where its last state is not interpolated) and
here?
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
import torchdiffeq
from torch import Tensor, nn

from pkverify.network.dense_output import row_matrix
from pkverify.network.device import resolve_device
from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.path_integrals import path_integrals
from pkverify.network.runge_kutta import TABLEAUS, Stepper

HORIZON = 5.0


def workload(device: torch.device) -> tuple[nn.Sequential, Tensor, Tensor, Tensor]:
    """Network, training data and queries, from one seed."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)).double()
    x, y, queries = (torch.randn(*shape, dtype=torch.float64) for shape in ((64, 20), (64, 1), (32, 20)))
    return net.to(device), x.to(device), y.to(device), queries.to(device)


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """The median of several runs, after one to warm up."""
    found: list[float] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def accuracy(device: torch.device) -> None:
    """Errors, residuals and times over tolerances, for both orders and for torchdiffeq."""
    net, x, y, queries = workload(device)

    def flow(order: int, tolerance: float) -> Trajectory:
        return gradient_flow(
            net, nn.functional.mse_loss, x, y, horizon=HORIZON, rtol=tolerance, atol=tolerance, order=order,
            estimate_stiffness=False, device=device,
        )  # fmt: skip

    reference = flow(8, 1e-14)
    objective = reference.objective
    exact = objective.outputs(reference.final, queries)
    ends = torch.tensor([0.0, HORIZON], dtype=torch.float64, device=device)

    def theirs(method: str, tolerance: float) -> Tensor:
        found: Tensor = torchdiffeq.odeint(
            lambda _t, w: objective.gradient(w, sign=-1.0), objective.initial, ends, rtol=tolerance, atol=tolerance,
            method=method, options={"step_t": ends[1:]},
        )  # fmt: skip
        return found[-1]

    print(
        f"{'method':>14} {'tol':>6} {'steps':>6} {'output error':>13} {'residual':>9} {'flow s':>7} {'integrals s':>11}"
    )
    for tolerance in (1e-6, 1e-8, 1e-10, 1e-12):
        for order in (5, 8):
            found = flow(order, tolerance)
            integrals = path_integrals(found, queries)
            error = float((integrals.final_output - exact).abs().max())
            spent = seconds(lambda o=order, t=tolerance: flow(o, t), 3)
            also = seconds(lambda f=found: path_integrals(f, queries), 1)
            print(
                f"{f'order {order}':>14} {tolerance:6.0e} {found.step_count:6d} {error:13.1e} "
                f"{float(integrals.residual.abs().max()):9.1e} {spent:7.3f} {also:11.3f}"
            )
        for method in ("dopri5", "dopri8"):
            error = float((objective.outputs(theirs(method, tolerance), queries) - exact).abs().max())
            spent = seconds(lambda m=method, t=tolerance: theirs(m, t), 3)
            print(f"{method:>14} {tolerance:6.0e} {'':6} {error:13.1e} {'':9} {spent:7.3f}")


def overhead(size: int, device: torch.device, steps: int = 12) -> None:
    """Seconds an accepted step with a right side of one pass over the state, less that pass."""
    state = torch.randn(size, dtype=torch.float64, device=device)
    slope = torch.empty_like(state)
    one_pass = seconds(lambda: torch.neg(state, out=slope))

    def negative(w: Tensor, out: Tensor) -> None:
        torch.neg(w, out=out)

    print(f"\nstate of {size} float64 on {device}; a right side takes {one_pass * 1e3:.2f} ms")
    for order, method in ((5, "dopri5"), (8, "dopri8")):
        stepper = Stepper(TABLEAUS[order], negative, state)

        matrix = row_matrix(TABLEAUS[order]).to(state)

        def mine(stepper: Stepper = stepper, matrix: Tensor = matrix) -> None:
            w = state
            stepper.start(w)
            for _ in range(steps):
                end = stepper.step(w, 1e-3)
                stepper.error_norm(w, end, 1e-3, 1e-8, 1e-8)
                # What the path integrals need, too: torchdiffeq fits an interpolant of its own at every step.
                stepper.extend(w, 1e-3)
                torch.mm(matrix, stepper.slopes)
                stepper.advance()
                w = end

        calls: list[int] = []

        def counted(_t: Tensor, w: Tensor, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            return -w

        ends = torch.tensor([0.0, 1e-3 * steps], dtype=torch.float64, device=device)
        # Steps of the same length: the first is given, and none may grow.
        forced: Mapping[str, object] = {"step_t": ends[1:], "first_step": 1e-3, "ifactor": 1.0}

        def theirs(method: str = method, forced: Mapping[str, object] = forced, ends: Tensor = ends) -> None:
            torchdiffeq.odeint(counted, state, ends, rtol=1e-2, atol=1e-2, method=method, options=forced)

        before = stepper.evaluations
        ours, evaluations = seconds(mine, 3), (stepper.evaluations - before) / 4
        other, their_calls = seconds(theirs, 3), len(calls) / 4
        # Neither the right side nor the number of steps is to decide: what is left, for each of its evaluations.
        net_ours, net_other = ours / evaluations - one_pass, other / their_calls - one_pass
        print(
            f"order {order}: {evaluations:.0f} evaluations in {ours:.3f} s; torchdiffeq {method}: {their_calls:.0f} in "
            f"{other:.3f} s; overhead of an evaluation {net_ours * 1e3:.2f} and {net_other * 1e3:.2f} ms, "
            f"ratio {net_ours / net_other:.2f}"
        )


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--overhead-size", type=int, default=1_000_000)
    chosen = parser.parse_args()
    device = resolve_device(chosen.device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), device {device}")
    accuracy(device)
    overhead(chosen.overhead_size, device)


if __name__ == "__main__":
    main()
