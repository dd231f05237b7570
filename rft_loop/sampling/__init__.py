"""Sampling: rollouts from the policy, here or on a server."""
