"""Defines what is run: ops, Programs and the rules by which a Program makes sense."""
