"""One document while it is open, and its file."""
