"""What files say, as shared documents, and back. Pure."""
