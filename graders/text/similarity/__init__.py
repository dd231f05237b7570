"""The metrics of text_similarity, each after a named public implementation. They read tokens and return numbers."""
