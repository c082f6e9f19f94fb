"""A utility's own pages."""
