"""A conformance task of rational numbers, small enough to be reckoned exactly."""

from __future__ import annotations

from fractions import Fraction

from pkverify.testing.conform.spec import Spec

ONE = Fraction(1)
LINEAR = Spec(
    "squared",
    (2, 2),
    True,
    tuple(Fraction(k, 7) for k in (3, -2, 5, 1, -4, 6)),
    ((ONE, ONE / 3), (-ONE, ONE / 5), (ONE * 2, -ONE)),
    ((ONE, ONE / 2), (ONE / 4, -ONE), (ONE, ONE)),
    ((ONE / 2, ONE), (ONE, -ONE * 2)),
    ((ONE, -ONE), (ONE / 3, ONE / 3)),
    (ONE / 16, ONE / 8, ONE / 32),
)
