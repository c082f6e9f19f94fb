"""Each bench prints a ratio against a limit it measures in the same run."""
