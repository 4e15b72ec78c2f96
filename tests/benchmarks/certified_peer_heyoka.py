"""The two-parameter tanh neuron in heyoka (not certified), for the ratio to the certified route at equal digits.

Run it where heyoka is installed; it needs nothing of pkverify:

    python tests/benchmarks/certified_peer_heyoka.py [BITS]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import heyoka as hy  # type: ignore[import-not-found]


def main() -> None:
    """Compile and run the flow with its two path integrals; print both times and the final weights."""
    bits = int(sys.argv[1]) if len(sys.argv) > 1 else 192
    number = lambda p, q=1: hy.real(p, bits) / hy.real(q, bits)  # noqa: E731 - a rational at this precision
    a, b, *integrals = hy.make_vars("a", "b", "s1", "s2")
    examples = [(number(1), number(7, 10)), (number(-1, 2), number(1, 5))]
    query = number(3, 10)

    def slope(x: Any) -> Any:
        return 1 - hy.tanh(a * x + b) ** 2

    def pull(x: Any, y: Any) -> Any:
        return (hy.tanh(a * x + b) - y) * slope(x)

    pulls = [pull(x, y) for x, y in examples]
    system = [
        (a, -sum(p * x for p, (x, _) in zip(pulls, examples, strict=True))),
        (b, -sum(pulls)),
        *((s, -p * slope(query) * (x * query + 1)) for s, p, (x, _) in zip(integrals, pulls, examples, strict=True)),
    ]
    start = time.perf_counter()
    flow = hy.taylor_adaptive(
        system, [number(1, 10), number(-1, 5), number(0), number(0)], fp_type=hy.real, prec=bits, tol=number(1) * 0
    )
    compiled = time.perf_counter() - start
    start = time.perf_counter()
    flow.propagate_until(number(2))
    ran = time.perf_counter() - start
    print(f"heyoka {hy.__version__}, {bits} bits: compiled in {compiled:.3f} s, ran in {ran:.3f} s")
    print("w(2) =", *flow.state[:2])


if __name__ == "__main__":
    main()
