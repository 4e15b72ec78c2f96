"""The audits of what goes beyond the paper: training in steps, other flows, kinks, bounds, stationary points."""

from __future__ import annotations

from collections.abc import Mapping

from pkverify.checks.paper import beyond_balls, beyond_flows, beyond_steps
from pkverify.checks.paper.finding import Audit

AUDITS: Mapping[str, Audit] = {**beyond_steps.AUDITS, **beyond_flows.AUDITS, **beyond_balls.AUDITS}
