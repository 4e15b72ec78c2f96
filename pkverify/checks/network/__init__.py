"""Checks that rest on the network route: networks of real size, and the same problems in float64."""
