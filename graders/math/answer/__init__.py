"""Which piece of an output is its final answer."""
