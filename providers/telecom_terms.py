"""How a bill of City Telecom may be paid: its ``PayRule`` and its ``Options``.

Source: docs/wire/bill-files.md, telecom.
"""

from collections.abc import Callable
from datetime import date
from enum import StrEnum
from typing import Final, TypeVar

from lxml import etree

from core.errors import Invalid
from core.money import parse_fen
from providers.base import AmountRule, Exactness, OptionKind, PayOption, PayTerms
from providers.formats.cells import read_text, shown
from providers.formats.rows import RowFault

_NS: Final = "{urn:citytelecom:bill:1}"
_OPTION, _RULE = f"{_NS}Option", f"{_NS}PayRule"

Element = etree._Element
V = TypeVar("V")
Kind = TypeVar("Kind", bound=StrEnum)


def read_terms(
    rule: Element | None, options: Element | None, read_day: Callable[[str], date]
) -> PayTerms | None:
    """Return a bill's own terms, or None where it states none.

    Raises:
        RowFault: an element or attribute is wrong; what they mean together the importer judges.
    """
    if rule is None and options is None:
        return None
    stated = () if options is None else tuple(_option(option, read_day) for option in options)
    return PayTerms(None if rule is None else _rule(rule), stated)


def _rule(rule: Element) -> AmountRule:
    return AmountRule(
        _attribute(rule, "mode", _one_of(Exactness)),
        _attribute_if_there(rule, "minimum_fen", parse_fen),
        _attribute_if_there(rule, "maximum_fen", parse_fen),
        _attribute_if_there(rule, "multiple_fen", parse_fen),
    )


def _option(option: Element, read_day: Callable[[str], date]) -> PayOption:
    if option.tag != _OPTION:
        raise RowFault(
            "Options", f"{shown(str(option.tag))} is no option: Options holds Option elements"
        )
    rules = list(option)
    if len(rules) > 1 or any(rule.tag != _RULE for rule in rules):
        raise RowFault("Options", "an Option holds one PayRule or nothing")
    return PayOption(
        code=_attribute(option, "code", read_text),
        kind=_attribute(option, "kind", _one_of(OptionKind)),
        name=_attribute(option, "name", read_text),
        amount_fen=_attribute(option, "amount_fen", parse_fen),
        from_on=_attribute_if_there(option, "from", read_day),
        until_on=_attribute_if_there(option, "until", read_day),
        rule=_rule(rules[0]) if rules else None,
    )


def _one_of(kinds: type[Kind]) -> Callable[[str], Kind]:
    def read(text: str) -> Kind:
        if text not in {kind.value for kind in kinds}:
            raise Invalid(f"{shown(text)} is unknown: write one of {', '.join(kinds)}")
        return kinds(text)

    return read


def _attribute(element: Element, name: str, convert: Callable[[str], V]) -> V:
    try:
        return convert(element.get(name, ""))
    except Invalid as wrong:
        raise RowFault(name, wrong.message) from None


def _attribute_if_there(element: Element, name: str, convert: Callable[[str], V]) -> V | None:
    return _attribute(element, name, convert) if name in element.attrib else None
