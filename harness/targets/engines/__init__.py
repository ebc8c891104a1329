"""The engines: how each watches a run, and how it judges what a cut took. Nothing here needs a virtual machine."""
