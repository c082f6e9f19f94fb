"""From a sample file to a profile that somebody has yet to read: nothing here is ever applied."""
