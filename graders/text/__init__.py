"""Graders of text: what was said, as a string, a choice, a label, a form, or a likeness."""
