"""Draw the states of a payment from their tables: ``python -m docs.states``."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from payments.states import OUTCOME_MOVES, PAYMENT_MOVES, PENDING, Outcome, PaymentStatus
from payments.views import public_outcome, public_status

PAGE = Path(__file__).with_name("states.md")
_HEAD = """# The states of a payment

Drawn from `payments/states.py` by `python -m docs.states`; a test holds the two together. On an
arrow stands what is heard; what a state has no arrow for changes nothing there. The database
refuses every other move (the triggers `moves`).

Nothing is heard from a callback itself: it makes us ask the gateway, whose answer is the news
([ADR 0005](adr/0005-a-callback-is-only-a-question.md)).
"""
_PAYMENT = """
## A payment

`unknown` and `open` are asked about: every 5 seconds for three minutes, every minute for an hour,
then hourly, for two days. Who then still does not answer is given up (`never_answered`) and the
bills are free. "Paid" wins whenever it comes: over a refusal (some gateways let the payer try
again), over our timer, years late. What a bill cannot take then goes back by itself.
"""
_ITEM = """
## A bill in a payment

One payment, several companies: each bill has an outcome of its own. Debited (`paid`) and written
off at the company are two states (rule 26).
"""
_PUBLIC = """
## What the payer is told

Few words over the states above:

| a payment that is | its bills | is told as |
|---|---|---|
"""


def _diagram(moves: Mapping[StrEnum, Mapping[StrEnum, StrEnum]], first: StrEnum) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {first}"
    for start, ends in moves.items():
        together: dict[str, list[str]] = {}
        for news, end in ends.items():
            together.setdefault(end, []).append(news)
        yield from (f"    {start} --> {end}: {', '.join(news)}" for end, news in together.items())
        if not ends:
            yield f"    {start} --> [*]"
    yield "```"


def _public() -> Iterator[str]:
    for status in PaymentStatus:
        told = {outcome: public_status(status, {public_outcome(outcome)}) for outcome in Outcome}
        if status in PENDING or len(set(told.values())) == 1:
            yield f"| `{status}` | | {told[Outcome.WAITING]} |"
            continue
        for word in dict.fromkeys(told.values()):
            of = ", ".join(f"`{one}`" for one, told_as in told.items() if told_as is word)
            yield f"| `{status}` | all {of} | {word} |"
        yield f"| `{status}` | some `returned` | {public_status(status, {'paid', 'returned'})} |"


def page() -> str:
    """Return the page as it should stand."""
    parts = [
        _HEAD, _PAYMENT, *_diagram(PAYMENT_MOVES, PaymentStatus.CREATED),
        _ITEM, *_diagram(OUTCOME_MOVES, Outcome.WAITING),
        _PUBLIC.rstrip("\n"), *_public(),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
