"""How far a grader agrees with people, with itself, and with what must not matter: what `assay calibrate` tells."""
