"""A finished run as text, JSON or JUnit XML; reads the run and computes no mathematics."""
