"""Why words of notices cannot be kept, proposed or approved, in the reader's language."""

from typing import Any

from core.errors import CityBillError
from web.look import say


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal; what is wrong with the words is said with where."""
    if refused is None:
        return None
    facts: dict[str, Any] = {"who": "", **refused.facts}
    said = {
        "template.place": say(
            locale, "There is no such place here: use those named beside the form, and no braces."
        ),
        "template.alone": say(locale, "{lines} and {link} each stand on a line of their own."),
        "template.unseen": say(locale, "A character here cannot be seen: type the line anew."),
        "template.lines": say(locale, "This is one line, no more."),
        "template.empty": say(locale, "Title and text both need words."),
        "template.too_long": say(locale, "This is too long."),
        "template.signature": say(locale, "Leave 【】 out: the signature comes by itself."),
        "template.carrier": say(
            locale, "This is no number of a template, or names other places: %(who)s.", **facts
        ),
        "template.wechat_places": say(
            locale, "Write WeChat’s places as thing1=company, amount2=amount."
        ),
        "template.no_why": say(locale, "Say why: the second person decides by it."),
        "template.no_reason": say(locale, "Say why not: the writer learns by it."),
        "template.same_person": say(
            locale, "Who wrote words cannot approve them: ask a colleague."
        ),
        "template.not_yours": say(locale, "A colleague writes this version: write one of yours."),
        "template.closed": say(locale, "This version is no draft any more: write another."),
        "template.not_proposed": say(locale, "This version does not wait to be approved."),
        "template.older": say(
            locale, "A newer version is in force: write these words anew, if they are wanted."
        ),
    }.get(refused.code, str(refused))
    if "character" not in facts:
        return said
    where = {
        "title": say(locale, "Title, character %(character)s:", **facts),
        "text": say(locale, "Text, line %(line)s, character %(character)s:", **facts),
    }
    return f"{where[facts['where']]}{' ' if locale == 'en' else ''}{said}"
