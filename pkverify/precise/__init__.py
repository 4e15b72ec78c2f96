"""The precise route: decompositions to any number of digits, by Taylor series in fixed-point arithmetic."""
