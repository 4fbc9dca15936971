"""What rooms leave behind, and where it is kept: stores, their versions, and what is wrong with them."""
