"""Rights and allowances: what each user may do, and how much of the server's resources each may take."""
