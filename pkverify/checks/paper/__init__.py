"""The audit of the paper: for every claim, a check that establishes how it stands, and the counterexamples."""
