"""The pytest plugin: options, hooks and the lines that tell of progress."""
