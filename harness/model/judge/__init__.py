"""Compares what was observed with what the contract allows, and says what that means."""
