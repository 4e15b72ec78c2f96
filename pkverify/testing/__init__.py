"""Tests for attribution code, other people's and our own: strategies, an oracle, a pytest plugin, conformance."""
