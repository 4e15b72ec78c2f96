"""Number systems with a guarantee or an estimate: balls and multiple precision, each behind one module."""
