"""The commands of `assay`, a file each. Heavy imports wait until a command runs."""
