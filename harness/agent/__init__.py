"""Runs beside the file system under test: interprets Programs, and starts as the first process of a guest."""
