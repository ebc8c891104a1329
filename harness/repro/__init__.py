"""Turns a Program into a C program that shows a lost promise without a power cut, by the kernel's own trace events."""
