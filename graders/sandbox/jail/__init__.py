"""What runs on the far side of the sandbox: standard library only, started by path, never beside our other packages."""
