"""Whether two trees of any shape mean the same."""
