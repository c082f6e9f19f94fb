"""Why money went back, in the words of a notice: in one language, without a code."""

from payments.returns.models import Refund, RefundReason

_BY_STAFF: dict[RefundReason, tuple[str, str]] = {
    RefundReason.PAID_TWICE: ("重复缴费", "it was paid twice"),
    RefundReason.WRONG_BILL: ("缴错账单", "the wrong bill was paid"),
    RefundReason.BILLED_TOO_MUCH: ("账单多计", "the bill was too high"),
    RefundReason.ACCOUNT_CLOSED: ("户号已销户", "the account is closed"),
    RefundReason.NOT_BY_PAYER: ("非本人支付", "the owner of the card or wallet did not pay"),
    RefundReason.OTHER: ("经人工核定", "our staff decided so"),
}
# Of money that went back once, came back, and was sent again from our bank.
CAME_BACK: dict[str, str] = {
    "zh_CN": "此前退回时，收款的卡或账户没有收下",
    "en": "the card or account it first went back to did not take it",
}
# What we write down ourselves of money that goes back by itself.
_CHINESE: dict[str, str] = {
    "the bill was settled or changed before this payment arrived": "到账前账单已结清或已变更",
    "the company did not take the payment": "公司未能入账",
    "the company did not confirm the payment in time": "公司未在期限内确认入账",
    "the bill was paid before this payment arrived": "到账前账单已缴清",
    "another amount than the bill asks for": "到账金额与账单金额不符",
    "the account is closed": "户号已销户",
    "the company does not know the bill": "公司查无此账单",
}


def why_back(refund: Refund, locale: str) -> str:
    """Return the reason in the reader's language; a company's own words as they came."""
    if refund.reason_code is not None:
        chinese, english = _BY_STAFF[refund.reason_code]
    else:
        chinese, english = _CHINESE.get(refund.reason, refund.reason), refund.reason
    return english if locale == "en" else chinese


def is_ours(refund: Refund) -> bool:
    """Tell whether the reason is one of ours: a company's own words may name anybody."""
    return refund.reason_code is not None or refund.reason in _CHINESE
