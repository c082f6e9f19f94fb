"""What Stripe's API is asked in: nested form fields, such as ``line_items[0][quantity]=1``.

Source: docs/wire/stripe.md, "Requests".
"""

import re
from typing import Any
from urllib.parse import parse_qsl

from simulator.stripe_store import StripeRefusal, StripeStore, Thing, shown

_NUMBERS = frozenset({
    "amount", "created", "expires_at", "gt", "gte", "interval_end", "interval_start", "limit", "lt",
    "lte", "quantity", "unit_amount",
})  # fmt: skip
_STEP = re.compile(r"\[([^][]*)\]")


def read_form(text: str) -> dict[str, Any]:
    """Read form fields into what they nest: ``a[b]=c``, ``a[]=c`` and ``a[0][b]=c``.

    Raises:
        StripeRefusal: a number that is none.
    """
    told: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        first, bracket, rest = name.partition("[")
        steps = [first, *_STEP.findall(bracket + rest)]
        _put(told, steps, _value(steps, value))
    listed = _listed(told)
    assert isinstance(listed, dict)
    return listed


def _value(steps: list[str], text: str) -> object:
    if "metadata" in steps[:-1]:
        return text
    if steps[-1] in _NUMBERS:
        if re.fullmatch("-?[0-9]{1,15}", text) is None:
            raise StripeRefusal(f"Invalid integer: {text}", param=steps[-1])
        return int(text)
    return {"true": True, "false": False}.get(text, text)


def _put(told: dict[str, Any], steps: list[str], value: object) -> None:
    for step in steps[:-1]:
        told = told.setdefault(step or str(len(told)), {})
        if not isinstance(told, dict):
            raise StripeRefusal("a field is a value and an object at once", param=steps[0])
    told[steps[-1] or str(len(told))] = value


def _listed(told: object) -> object:
    """Turn objects whose names count up from 0 into lists."""
    if not isinstance(told, dict):
        return told
    if told and list(told) == [str(at) for at in range(len(told))]:
        return [_listed(one) for one in told.values()]
    return {name: _listed(one) for name, one in told.items()}


def expanded(store: StripeStore, thing: Thing, paths: list[str]) -> Thing:
    """Return an object as it is told of, with objects in place of the ids at some paths."""
    told = shown(thing)
    for path in paths:
        if path.count(".") > 3:
            raise StripeRefusal("expansion goes four levels deep at most", param="expand")
        _expand(store, told, path.split("."))
    return told


def _expand(store: StripeStore, told: Thing, steps: list[str]) -> None:
    name, rest = steps[0], steps[1:]
    if name not in told:
        raise StripeRefusal(f"This property cannot be expanded ({name}).", param="expand")
    found = told[name]
    if isinstance(found, str):
        thing = store.find(found)
        found = told[name] = found if thing is None else shown(thing)
    if rest and isinstance(found, dict):
        found = told[name] = dict(found)
        _expand(store, found, rest)
    elif rest and isinstance(found, list):
        told[name] = [dict(one) for one in found]
        for one in told[name]:
            _expand(store, one, rest)
