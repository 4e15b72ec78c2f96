"""The certified route: enclosures of the flow and of its path integrals in ball arithmetic."""
