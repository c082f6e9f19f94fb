"""Whose money it is, and why something about the bank was not done, in the reader's language."""

from fastapi import Request

from core.errors import BillFileError, CityBillError
from payments.reconciliation.bank.models import CLAIMS, REMITTANCES, TRANSFERS
from providers.registry import PROVIDERS
from web import look
from web.pages.file_views import provider_name
from web.pages.page import locale_of
from web.pages.words.files import said
from web.pages.words.gateways import gateway_of


def source_name(request: Request, source: str) -> str:
    """Return the name of a gateway, a company, or what staff send."""
    locale = locale_of(request)
    if source == TRANSFERS:
        return look.say(locale, "Transfers by staff")
    if source == REMITTANCES:
        return look.say(locale, "Remittances to companies")
    if source.removeprefix(CLAIMS) in PROVIDERS:
        return provider_name(locale, source.removeprefix(CLAIMS))
    return gateway_of(request)(source)


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    known = {
        "bank_match.reason": look.say(
            locale, "Tick what it is, and say how you know: whoever looks later has only this."
        ),
        "bank_match.taken": look.say(
            locale, "One of them is matched already: look again, and undo that first."
        ),
        "bank_match.sources": look.say(
            locale, "This is money of several sources: an entry is of one."
        ),
        "bank_match.net": look.say(
            locale, "This gateway says itself what it pays out: tick its payout, not its day."
        ),
        "bank_match.amount": look.say(
            locale, "The two sums are not the same: find what makes up the difference."
        ),
        "bank_match.far": look.say(
            locale, "These entries are too far from each other: more than a month."
        ),
        "bank_match.suspended": look.say(
            locale, "This money stands in suspense: undo that first, at its difference."
        ),
        "bank_match.written_off": look.say(
            locale, "A difference was written off with this: undo that, at its difference."
        ),
        "bank_match.undone": look.say(locale, "A colleague was faster: this is undone already."),
        "bank_rule.ended": look.say(locale, "A colleague was faster: this rule has ended already."),
        "bank_account.label": look.say(locale, "This name is too long: 60 characters at most."),
        "bank_profile.unknown": look.say(locale, "Choose how the bank writes its CSV."),
        "bank_entry.differs": look.say(
            locale,
            "The bank told an entry of it otherwise before: ask it which is right. %(why)s",
            why=said(locale, str(refused)),
        ),
        "arrival.here": look.say(locale, "It is here already."),
        "arrival.not_due": look.say(locale, "It is not due yet: it is asked for from that hour."),
        "arrival.unexpected": look.say(locale, "Nobody expects a list of that day."),
    }
    return known.get(refused.code, complaint(locale, refused))


def complaint(locale: str, refused: CityBillError) -> str:
    """Say why a file was refused: the line, what is wrong, and what to do about it."""
    if isinstance(refused, BillFileError):
        why = said(locale, refused.message)
        why = f"{refused.column}: {why}" if refused.column else why
        if refused.line_no is None:
            return why
        return look.say(locale, "Line %(line_no)s: %(why)s", line_no=refused.line_no, why=why)
    return {
        "book_file.empty": look.say(locale, "The file is empty: nothing was sent."),
        "book_file.too_large": look.say(
            locale, "The file is larger than 512 MB: send it in parts."
        ),
        "book_file.whose": look.say(locale, "Choose whose file it is."),
        "book_file.gone": look.say(
            locale,
            "The file itself is not kept any more: bring it in again to have it read again.",
        ),
        "request.malformed": look.say(
            locale, "This cannot be read: a day is written as 2026-11-20, an amount as 86.50."
        ),
    }.get(refused.code) or said(locale, str(refused))
