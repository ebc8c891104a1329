"""Talks to an agent, wherever it runs: the byte channel, the calls, the answers and the kernel's log."""
