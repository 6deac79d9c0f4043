"""What notebooks and reports call; nothing that a rank runs imports it."""
