"""What WeChat allows in the places of a template, by the kind their names begin with.

Source: developers.weixin.qq.com, "订阅通知" and "模板消息", 参数值内容限制说明. Words are cut to
their length, figures never: half a number is a wrong one. A place of no kind listed there, as in
templates of the old library (``keyword1``), is WeChat's to judge.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from core.errors import Upstream

_KIND: Final = re.compile(r"([a-z_]+?)[0-9]*")
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")
_HAN: Final = "\u3400-\u9fff\U00020000-\U0003ffff"
_CLOCK: Final = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?"
_DAY: Final = (
    "(?:[0-9]{4}年)?[0-9]{1,2}月(?:[0-9]{1,2}日)?|[0-9]{2,4}[-/.][0-9]{1,2}(?:[-/.][0-9]{1,2})?"
)
_MOMENT: Final = rf"(?:(?:{_DAY})(?: ?{_CLOCK})?|{_CLOCK})"
_MOMENTS: Final = rf"{_MOMENT}(?:~{_MOMENT})?"


def _whole(pattern: str) -> Callable[[str], str | None]:
    allowed = re.compile(pattern)
    return lambda value: value if allowed.fullmatch(value) else None


def _cut(length: int) -> Callable[[str], str | None]:
    return lambda value: value[: length - 1] + "…" if len(value) > length else value or None


def _amount(value: str) -> str | None:
    """A currency sign, at most ten digits, perhaps 元; no commas between them."""
    plain = value.replace(",", "")
    digits = sum(char.isdigit() for char in plain)
    allowed = re.fullmatch(r"[¥￥$€£]?[0-9]+(?:\.[0-9]+)?元?", plain)
    return plain if allowed and digits <= 10 else None


def _name(value: str) -> str | None:
    """Twenty letters, or ten characters where one is Chinese; a mark would be no name."""
    return (value[:10] if re.search(f"[{_HAN}]", value) else value[:20]) or None


_RULES: Final[Mapping[str, Callable[[str], str | None]]] = {
    "thing": _cut(20),
    "const": _whole(".{0,20}"),
    "number": _whole(r"(?=.{1,33}$)[0-9]{1,32}(?:\.[0-9]+)?"),
    "letter": _whole("[A-Za-z]{1,32}"),
    "symbol": _whole(rf"[^A-Za-z0-9{_HAN}]{{1,5}}"),
    "character_string": _whole(rf"[^{_HAN}]{{1,32}}"),
    "time": _whole(_MOMENTS),
    "date": _whole(_MOMENTS),
    "amount": _amount,
    "phone_number": _whole(r"[0-9+() -]{1,17}"),
    "car_number": _whole(rf"[{_HAN}]?[A-Za-z0-9]{{1,7}}[{_HAN}]?"),
    "name": _name,
    "phrase": _whole(f"[{_HAN}]{{1,5}}"),
}


def fitted(values: Mapping[str, str]) -> dict[str, str]:
    """Return what fills a template's places, as WeChat takes it.

    Raises:
        Upstream: a place is empty, or its kind takes no such value; the message names the place.
    """
    return {place: _fit(place, value) for place, value in values.items()}


def _fit(place: str, value: str) -> str:
    kind = _KIND.fullmatch(place)
    rule = _RULES.get(kind[1]) if kind else None
    plain = _BLANK.sub(" ", value).strip()
    fits = plain if rule is None else rule(plain)
    if fits is None:
        raise Upstream(
            f"the template's place {place} takes no such value", code="template.value_refused"
        )
    return fits
