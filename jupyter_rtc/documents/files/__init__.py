"""Files: any contents manager, the local disk, a file since it was last seen, and copies that are kept."""
