"""Declares the words of each command, for argparse; nothing of a command is imported."""
