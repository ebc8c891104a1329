"""Tells what the man pages and the kernel's documents allow a file to hold after each op of a Program."""
