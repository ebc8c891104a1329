"""The exam of the suite: stock kernels with one planted fault each, and who sees it."""
