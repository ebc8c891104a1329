"""Watches the kernel while ops run: faults, dropped entries, flushes and marks."""
