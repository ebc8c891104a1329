"""Describes what a Program runs on: the kind of persistent memory and the engine that tells what is durable."""
