"""Actions, in a real server with real kernels, terminals and files."""
