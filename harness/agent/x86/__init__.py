"""Machine code for x86-64: stores, flushes and what the CPU can do."""
