"""Emits the C of each op: one module for each of harness.model.program.ops; statement.py picks the module."""
