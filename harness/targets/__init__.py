"""Defines the targets that run Programs, and the steps of one run."""
