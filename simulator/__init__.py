"""A city to run against: the far side of every wire, built from ``docs/wire`` and nothing else."""
