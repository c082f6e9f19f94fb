"""Values and words as they may stand in the TOML of a proposal."""

import json
import unicodedata
from typing import Final

OPEN: Final = "?"  # what the profile's own check refuses, so that nobody overlooks it


def text(value: object) -> str:
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(text(one) for one in value) + "]"
    if isinstance(value, int):
        return str(value)
    sound = str(value).encode("utf-8", "replace").decode()
    return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")


def remark(words: str) -> str:
    """Write words as they may stand in a comment: on one line, with nothing unseen."""
    plain = " ".join(words.encode("utf-8", "replace").decode().split())
    return "".join(m for m in plain if unicodedata.category(m) not in ("Cc", "Cf"))[:300]
