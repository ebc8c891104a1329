"""Ops that run at the same time, each lane in a process of its own."""
