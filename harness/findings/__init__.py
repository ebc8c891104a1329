"""Findings: the failing cells of a run, grouped by cause, and held against what is known already."""
