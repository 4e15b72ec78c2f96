"""Checks: what can be said of each claim on each problem, and whether the routes agree."""
