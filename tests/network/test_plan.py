"""Budgets of memory: kept, planned before anything runs, and without effect on the numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pkverify.errors import InputError
from pkverify.network.layers.factor import Extent, Sides, contraction_flops
from pkverify.network.plan import parse_memory
from pkverify.network.tangent_kernel import plan_tangent_kernel, tangent_kernel
from tests.network.module_cases import CASES, distance, reals

ROOT = Path(__file__).parent.parent.parent
CPU = torch.device("cpu")

MEASURED = """
import json, sys, torch
from pathlib import Path
from torch import nn
from pkverify.network.tangent_kernel import plan_tangent_kernel, tangent_kernel
torch.manual_seed(0)
torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Tanh(), nn.Conv2d(16, 16, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6400, 4))
net, x = net.double(), torch.randn(48, 3, 24, 24, dtype=torch.float64)
tangent_kernel(net, x[:1], x[:1])  # libraries and their buffers
def peak():  # not getrusage: what it tells may be the peak of the process that started this one
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
before = peak()
budget = float(sys.argv[1])
plan = plan_tangent_kernel(net, x, x, memory=budget)
kernel = tangent_kernel(net, x, x, memory=budget)
after = peak()
print(json.dumps([plan.query_block, plan.train_block, plan.peak, after - before, float(kernel.norm())]))
"""


@pytest.mark.parametrize("name", ["mlp", "convolution 2d", "transformer, positions first", "tied table", "lstm"])
def test_a_budget_does_not_change_the_numbers(name: str) -> None:
    model, x = CASES[name].build()
    whole = tangent_kernel(model, x, x)
    least = plan_tangent_kernel(model, x, x).result
    blocks: set[tuple[int, int]] = set()
    for memory in (least + 4e3, least + 2e4, least + 6e4, least + 2e5, "1 GB"):
        try:
            plan = plan_tangent_kernel(model, x, x, memory=memory)
        except InputError:
            continue
        blocks.add((plan.query_block, plan.train_block))

        assert plan.peak <= plan.memory
        assert distance(tangent_kernel(model, x, x, memory=memory), whole) < 1e-13
    assert (7, 7) in blocks
    assert len(blocks) > 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_measured_memory_stays_within_the_budget() -> None:
    measured = {
        budget: json.loads(
            subprocess.run(
                [sys.executable, "-c", MEASURED, str(budget)], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for budget in (60e6, 2e9)
    }
    small, large = measured[60e6], measured[2e9]

    assert small[0] * small[1] < large[0] * large[1] == 48 * 48
    assert small[2] <= 60e6
    assert small[3] < 1.5 * 60e6 + 20e6  # what the allocator rounds up, and what the library itself holds
    assert large[3] > 1.5 * small[3]  # the measurement does see the difference
    assert small[4] == pytest.approx(large[4], rel=1e-13)


def test_the_plan_says_what_it_will_do() -> None:
    model, x = CASES["recognised and not"].build()
    plan = plan_tangent_kernel(model, x, x, memory="1 GB", dtype=torch.float32)

    assert plan.routes == {"l.weight": "general", "l.bias": "sums over positions"}
    assert plan.floor == pytest.approx(7.6e-6, rel=0.01)
    assert "7 queries x 7 examples, float32" in str(plan)
    assert "1000.0 MB" in str(plan)


def test_routes_follow_the_number_of_positions() -> None:
    layer = nn.Sequential(nn.Linear(64, 64), nn.Flatten(), nn.Linear(64, 1))
    few = plan_tangent_kernel(layer, reals(50, 64), reals(50, 64)).routes
    layer = nn.Sequential(nn.Linear(64, 64), nn.Flatten(), nn.Linear(64 * 40, 1))
    many = plan_tangent_kernel(layer, reals(50, 40, 64), reals(50, 40, 64)).routes

    assert few["0.weight"] == "pairs of positions"
    assert many["0.weight"] == "sums over positions"


@pytest.mark.parametrize(
    ("positions", "pairs_are_cheaper"),
    [(1, True), (8, True), (14, True), (18, False), (64, False), (256, False)],
)
def test_the_rule_turns_at_half_the_root_of_the_width(positions: int, pairs_are_cheaper: bool) -> None:
    # For many examples and equal widths n the orders cost the same at sqrt(n/2) positions: 16 for n = 512. The rule for
    # norms, of one example with itself, would turn only at n/sqrt(2) = 362.
    layer = Extent(positions, 1, 512, 512)
    pairs, sums = contraction_flops(layer, layer, Sides(5000, 1, 5000, 1))

    assert (pairs <= sums) is pairs_are_cheaper


@pytest.mark.parametrize(
    ("text", "size"), [(10, 10), ("11", 11), ("1 GB", 10**9), ("2GiB", 2**31), ("1.5 mb", 1500000), ("3e2 kB", 300000)]
)
def test_sizes_are_read(text: float | str, size: int) -> None:
    assert parse_memory(text, CPU) == size


@pytest.mark.parametrize("text", ["", "GB", "1 XB", "-1", "1.2.3", 0, -5, float("inf"), float("nan")])
def test_what_is_no_size_is_refused(text: float | str) -> None:
    with pytest.raises(InputError, match="no size"):
        parse_memory(text, CPU)


def test_a_budget_below_one_example_says_what_is_needed() -> None:
    model, x = CASES["mlp"].build()

    with pytest.raises(InputError, match="bytes, the result"):
        plan_tangent_kernel(model, x, x, memory=500)
