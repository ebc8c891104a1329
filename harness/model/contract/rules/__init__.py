"""Tells what each op promises and changes: one module for each module of harness.model.program.ops; oracle.py picks."""
