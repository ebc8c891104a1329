"""Where Programs run, and how one run becomes a judged cell."""
