"""Two versions of a document made one, and what cannot be. Pure."""
