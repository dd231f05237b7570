"""What a person sees of a run: the terminal, the report, charts."""
