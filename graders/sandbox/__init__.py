"""Sandbox: run code that nobody vouches for in processes that can reach nothing, and end them when their time is up."""
