"""The gradient of every example of a batch, layer by layer: captured as factors, contracted without multiplying out."""

from pkverify.network.layers.discovery import study
from pkverify.network.layers.gradients import GradientFactors, capture
from pkverify.network.layers.usage import Study

__all__ = ["GradientFactors", "Study", "capture", "study"]
