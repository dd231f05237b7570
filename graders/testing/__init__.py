"""Tests of graders: golden cases, declared properties, gold answers against a data set."""
