"""How results travel from an agent to the interface server: the body of a delivery, and its signature."""
