"""What each op promises and changes: a module for each of harness.model.ops whose ops do; oracle.py picks the one."""
