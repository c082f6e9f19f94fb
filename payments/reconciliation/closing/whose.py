"""Whose something is, by name in both languages: a gateway, a company, an account of ours."""

from collections.abc import Callable, Mapping

from sqlmodel import Session, select

from billing.documents.typesetting import Term
from core.masking import mask_no
from payments.gateways import gateway_label
from payments.gateways.base import Gateway
from payments.reconciliation.bank.models import CLAIMS, REMITTANCES, TRANSFERS, BankAccount
from providers.registry import PROVIDERS

Namer = Callable[[str], Term]
_OURS = {
    TRANSFERS: Term("人工转账", "Transfers by staff"),
    REMITTANCES: Term("划拨给公司", "Remittances to companies"),
}


def namer(session: Session, gateways: Mapping[str, Gateway]) -> Namer:
    """Return what names a source by its code; what nobody knows is named by its code."""
    accounts = {
        f"account-{one.id}": one.label or mask_no(one.account_no)
        for one in session.exec(select(BankAccount))
    }

    def name(code: str) -> Term:
        if code in _OURS:
            return _OURS[code]
        company = PROVIDERS.get(code.removeprefix(CLAIMS))
        if company is not None:
            return Term(company.name, company.name_en)
        account = accounts.get(code)
        return Term(account, account) if account else Term(*gateway_label(gateways, code))

    return name
