"""Reading: from a mathematical text, LaTeX or plain, to its tree."""
