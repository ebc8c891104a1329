"""Kernels under test: where they come from, what they hold, and the cache that keeps them."""
