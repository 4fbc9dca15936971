"""Who may come in, what each may do, and how much of what the server has each may take."""
