"""``python -m cli`` is ``citybill``."""

from cli.main import run

run()
