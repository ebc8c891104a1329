"""How ops are done: a module for each of harness.model.program.ops, but for lanes; perform.py picks the one."""
