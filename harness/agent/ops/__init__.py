"""Does the ops: one module for each of harness.model.program.ops except lanes; perform.py picks the module."""
