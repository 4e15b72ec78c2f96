"""Audits of the definitions of the paper and of what is said around them, with their examples."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from pkverify.checks.paper.demonstrated import (
    defined,
    holds_by,
    imprecise_by,
    proved_here,
    proved_in_general,
    setting,
    shown,
)
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.outcomes import words
from pkverify.checks.paper.width import DRIFT, drift_evidence
from pkverify.exact.paper_definitions import (
    OneWeight,
    Product,
    RadialBasis,
    TwoTasks,
    critical_points,
    descent_rests_where_the_gradient_vanishes,
    empirical_tangent_kernel,
    equal_weights_follow_the_kernel,
    feature_space,
    gradients_of_one_size,
    greater_kernel_less_influence,
    identical_inputs_weigh_less,
    kernel_is_no_property_of_the_curve,
    linear_weights_are_affine,
    machine_as_network,
    off_the_path,
    product_weights_are_not_affine,
    radial_basis_network_is_no_machine,
    rank_of_linear_model,
    strict_from_singular,
    sum_product_counts,
)

PRODUCT = Product()
RADIAL_BASIS = RadialBasis()
OTHER_INPUT = Fraction(10)
TWO_TASKS = TwoTasks()
ONE_WEIGHT = OneWeight()
STEP_RATE = Fraction(1, 10)


def audit_d1() -> Finding:
    """What a kernel machine is."""
    return defined(
        "D1",
        "a definition; its a_i and b are learned numbers, in Theorem 1 they are functions of the query (M2), g is the "
        "identity, and with a logit as output p = sigma(sum_i a_i K + b) has g = sigma",
        proved_here("D1", (machine_as_network(),), "the form is that of a network with one hidden layer"),
    )


def audit_d1b(data: Product = PRODUCT) -> Finding:
    """The weights as functions of the targets."""
    witness = Witness(
        "D1b",
        "the weights of a path kernel machine need not be affine in the targets",
        "a model linear in w",
        setting(
            "y = u v x, one example at 1, half the squared loss, u_0 = v_0 = 1/2, T = 1, targets 1, 2, 3", data, PRODUCT
        ),
        (),
        "d1b",
    )
    return defined(
        "D1b",
        "'typically' is said of kernel machines in general, and is no claim about the path kernel's weights",
        proved_here("D1b", (linear_weights_are_affine(),), "true of kernel ridge regression and of linear models"),
        (shown(witness, product_weights_are_not_affine(data)),),
    )


def audit_d1c() -> Finding:
    """What kernel machines are also called, and store."""
    return words(
        "D1c",
        "names and usage; the path kernel machine keeps every example whose loss derivative is not 0 throughout, so "
        "that it stores no subset",
    )


def audit_d1d() -> Finding:
    """A kernel machine as a network with one hidden layer."""
    return holds_by("D1d", proved_here("D1d", (machine_as_network(),), "by construction"))


def audit_d1e(data: RadialBasis = RADIAL_BASIS) -> Finding:
    """A Gaussian kernel machine as a radial basis function network."""
    witness = Witness(
        "D1e",
        "the converse does not hold: a radial basis network has centres of its own",
        "centres at the training points",
        setting(
            "exp(-x^2/2) is not in the span of exp(-(x - 1)^2), exp(-(x + 1)^2), 1, by collocation at 0, 1/2, 1, -3/2",
            data,
            RADIAL_BASIS,
        ),
        (),
    )
    return holds_by(
        "D1e",
        proved_here("D1e", (machine_as_network(),), "each kernel unit is a radial basis function around its example"),
        witnesses=(shown(witness, radial_basis_network_is_no_machine(data)),),
    )


def audit_d1f() -> Finding:
    """Deep networks that are exponentially smaller."""
    return holds_by(
        "D1f",
        proved_here(
            "D1f",
            (sum_product_counts(),),
            "for one family of sum-product networks, by induction over the levels: n - 1 nodes against as many "
            "products as there are monomials",
        ),
    )


def audit_d3() -> Finding:
    """The recursion of gradient descent."""
    return defined("D3", "a definition: w_{s+1} = w_s - eps grad L(w_s)", proved_in_general("P1"))


def audit_d4(rate: Fraction = STEP_RATE) -> Finding:
    """When descent terminates, and where."""
    witness = Witness(
        "D4",
        "descent may never terminate, or have no point to terminate at, or stop at a maximum or an inflection",
        "words: 'terminates', 'optimum (or saddle point)'",
        "a quadratic with eps lam = 1/10; separable logistic regression; cos(w) and w^3 at 0",
        (),
    )
    return imprecise_by(
        "D4",
        (shown(witness, critical_points(rate)),),
        "as a stopping rule a definition, which need never be met; and true of a critical point only if 'optimum' "
        "includes maxima and 'saddle' inflections",
        proved_here("D4", (descent_rests_where_the_gradient_vanishes(),), "where descent stops the gradient is 0"),
    )


def audit_d5a() -> Finding:
    """The path kernel, as first written."""
    return defined(
        "D5a",
        "a definition, an integral over time: K is no property of the curve, nor of the functions f_w alone",
        proved_here(
            "D5a", (kernel_is_no_property_of_the_curve(),), "it changes with the speed and the parametrisation"
        ),
    )


def audit_d5b(other: Fraction = OTHER_INPUT) -> Finding:
    """Similar variation and weight."""
    witness = Witness(
        "D5b",
        "the kernel is not normalised: an input whose gradient differs can outweigh the very same input",
        "normalised kernels",
        f"y = w x, query 1, training inputs 1 and {other}",
        (),
        "d5b",
    )
    return imprecise_by(
        "D5b",
        (shown(witness, identical_inputs_weigh_less(other)),),
        "said to be intuitive: an inner product measures size as well as similarity",
        proved_here(
            "D5b", (gradients_of_one_size(),), "among gradients of one size, the smaller their distance, the greater K"
        ),
    )


def audit_fig1(data: TwoTasks = TWO_TASKS) -> Finding:
    """More kernel, more influence."""
    witness = Witness(
        "Fig1",
        "with equal loss derivatives at all times the greater kernel has the smaller contribution",
        "equal weights a_i",
        setting(
            "f(x_1) = w_1, f(x_2) = w_2, targets 1, half the squared loss, w_0 = 0, T = 1; at the query w_1^2 + w_2 - "
            "w_2^2/2",
            data,
            TWO_TASKS,
        ),
        (),
        "fig1",
    )
    return imprecise_by(
        "Fig1",
        (shown(witness, greater_kernel_less_influence(data)),),
        "'all else being equal' may mean the weights a_i, and then it is so; it may mean the losses, and then it is "
        "not",
        proved_here("Fig1", (equal_weights_follow_the_kernel(),), "with equal positive weights a_i it holds"),
    )


def audit_d6a() -> Finding:
    """The neural tangent kernel as integrand."""
    return holds_by(
        "D6a",
        proved_here(
            "D6a",
            (empirical_tangent_kernel(),),
            "by definition, for the tangent kernel of the network at hand, at every width; the kernel of infinite "
            "width is a limit, and constant",
        ),
        repaired=drift_evidence(DRIFT),
    )


def audit_d6b(data: OneWeight = ONE_WEIGHT) -> Finding:
    """Positive definiteness of the path kernel."""
    witness = Witness(
        "D6b",
        "the converse does not hold: the path kernel may be strictly positive where the tangent kernel never is, and "
        "its rank may exceed the number of parameters",
        "the converse is not claimed",
        setting("f = exp(w x), one example at 1, loss -ln y, w_0 = 0, T = 1: w = t; inputs 1, 2, 3", data, ONE_WEIGHT),
        (),
        "d6b",
    )
    return holds_by(
        "D6b",
        proved_in_general("D6b"),
        witnesses=(shown(witness, strict_from_singular(data)),),
        repaired=proved_here(
            "D6b",
            (rank_of_linear_model(),),
            "strict where the tangent kernel is so at one time, since v^T K v is then the integral of a continuous "
            "function that is somewhere positive; never for a linear model with more inputs than parameters. The known "
            "conditions are for infinite width, and carry over to no finite one by this",
        ),
    )


def audit_d6c() -> Finding:
    """The path kernel as an inner product."""
    return holds_by(
        "D6c",
        proved_here("D6c", (feature_space(),), "phi(x) = (t -> grad f_{w(t)}(x)) in L^2([0, T]; R^d), for any model"),
        repaired=proved_in_general("D8"),
    )


def audit_d7() -> Finding:
    """Definition 1."""
    return defined(
        "D7", "a definition; the kernel is symmetric, and K(x, x) is a squared length", proved_in_general("D7")
    )


def audit_d8() -> Finding:
    """Definition 2."""
    return defined(
        "D8", "a definition; the kernel is symmetric, and positive semidefinite (D6b)", proved_in_general("D8")
    )


def audit_d9() -> Finding:
    """The neighbourhood of the path."""
    return defined(
        "D9",
        "a way of speaking: only the values of the gradient on the path enter, none of a neighbourhood (with steps of "
        "finite size, on the segments between the points)",
        proved_here("D9", (off_the_path(),), "two models that differ all around the path have one kernel"),
    )


AUDITS: Mapping[str, Audit] = {
    "D1": audit_d1,
    "D1b": audit_d1b,
    "D1c": audit_d1c,
    "D1d": audit_d1d,
    "D1e": audit_d1e,
    "D1f": audit_d1f,
    "D3": audit_d3,
    "D4": audit_d4,
    "D5a": audit_d5a,
    "D5b": audit_d5b,
    "Fig1": audit_fig1,
    "D6a": audit_d6a,
    "D6b": audit_d6b,
    "D6c": audit_d6c,
    "D7": audit_d7,
    "D8": audit_d8,
    "D9": audit_d9,
}
