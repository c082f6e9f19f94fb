"""How long to wait before asking again, after so long without an answer."""

from datetime import timedelta


def pause_seconds(age: timedelta) -> int:
    """Return seconds for three minutes, then minutes for an hour, then hours (rule 27)."""
    if age < timedelta(minutes=3):
        return 5
    return 60 if age < timedelta(hours=1) else 3_600
