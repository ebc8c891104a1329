"""The pure part: what a Program is, what its contract allows, and what was observed. No I/O."""
