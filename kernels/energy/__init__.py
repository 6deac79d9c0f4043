"""Heat in buildings: conduction in layers and the balance of a zone."""
