"""The model that is trained: loading, adapters, checkpoints, export."""
