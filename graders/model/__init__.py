"""Graders that ask a model or a service."""
