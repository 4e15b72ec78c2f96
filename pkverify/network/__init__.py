"""The network route: the decomposition on torch models, recorded training runs and gradient flows.

Functions share their names with the modules they live in, so all of them are loaded here, and torch with them.
"""

from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.decompose import decompose
from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.flow_decomposition import decompose_flow
from pkverify.network.identity import identity
from pkverify.network.path import TrainingPath
from pkverify.network.path_integrals import path_integrals
from pkverify.network.record import read_path, record
from pkverify.network.stiffness import StiffnessWarning
from pkverify.network.tangent_kernel import identity_product, plan_tangent_kernel, tangent_kernel

__all__ = [
    "NetworkDecomposition",
    "StiffnessWarning",
    "TrainingPath",
    "Trajectory",
    "decompose",
    "decompose_flow",
    "gradient_flow",
    "identity",
    "identity_product",
    "path_integrals",
    "plan_tangent_kernel",
    "read_path",
    "record",
    "tangent_kernel",
]
