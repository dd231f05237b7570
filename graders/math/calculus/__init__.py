"""Sums, integrals, limits and derivatives by sympy, in a process of its own."""
