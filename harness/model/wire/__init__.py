"""Defines what an agent may tell: observations, stamps and frames. Every byte from a guest is checked here."""
