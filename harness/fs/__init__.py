"""File-system formats, and this machine's tools that make and check them."""
