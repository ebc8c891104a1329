"""What the agent learns of the kernel while ops run: faults, dropped entries, flushes and marks."""
