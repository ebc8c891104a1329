"""Runs ops at the same time, each lane in a thread or a process of its own."""
