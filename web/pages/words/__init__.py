"""How things are named, and why they are refused, in the reader's language, for every room."""
