"""Adapters to attribution code: one module for each peer, which is imported only when it is asked for."""
