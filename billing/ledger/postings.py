"""What each business act posts: the ledger's rule book, one function an act.

Pure. ``docs/ledger.md`` shows each with an example, and a test posts every example there. Set-based
SQL (importing, corrections, late fees) posts the same moves by itself, under the same keys.

What follows the act in an entry key makes it unique on its subject: a version, a day, or the number
of the payment, receipt or file the act is about; of two where one alone would not.
"""

from billing.ledger import books
from billing.ledger.books import Move

Key = tuple[int, int]  # (account id, bill id); (0, id) where the act is about no bill


def about(subject_id: int) -> Key:
    """Return the key of a subject that is no bill: a payment, a receipt, a settlement."""
    return 0, subject_id


def _moves(key: Key, *acts: tuple[str, str, str, int]) -> list[Move]:
    """Return the acts that move something; (entry key, debit, credit, fen) each."""
    return [Move(*key, why, debit, credit, fen) for why, debit, credit, fen in acts if fen > 0]


def issued(key: Key, company: str, amount_fen: int, version: int) -> list[Move]:
    """A company bills; a negative amount is a credit and runs the other way."""
    debit, credit = books.receivable(company), books.uncollected(company)
    if amount_fen < 0:
        debit, credit = credit, debit
    return _moves(key, (f"issued.{version}", debit, credit, abs(amount_fen)))


def reversed_(key: Key, company: str, amount_fen: int, version: int) -> list[Move]:
    """A version is superseded or cancelled."""
    debit, credit = books.uncollected(company), books.receivable(company)
    if amount_fen < 0:
        debit, credit = credit, debit
    return _moves(key, (f"reversed.{version}", debit, credit, abs(amount_fen)))


def late_fee(key: Key, company: str, kind: str, day: str, amount_fen: int) -> list[Move]:
    """Lateness costs: ``kind`` is once, penalty or interest; ``day`` the day it was counted to.

    Or it is a surcharge that stays when the payment it came with, then ``day``, is refused.
    """
    debit, credit = books.receivable(company), books.uncollected(company)
    return _moves(key, (f"{kind}.{day}", debit, credit, amount_fen))


def reminded(key: Key, company: str, reminder_no: str, fee_fen: int) -> list[Move]:
    """A company asks a fee for reminding of a bill; the reminder itself is no new claim."""
    debit, credit = books.receivable(company), books.uncollected(company)
    return _moves(key, (f"reminder.{reminder_no}", debit, credit, fee_fen))


def waived(key: Key, company: str, why: str, amount_fen: int) -> list[Move]:
    """A late fee is taken back: ``why`` is the payment or version that makes it undue.

    Below zero it is an option's discount, and runs the other way.
    """
    debit, credit = books.uncollected(company), books.receivable(company)
    if amount_fen < 0:
        debit, credit = credit, debit
    return _moves(key, (f"waived:{why}", debit, credit, abs(amount_fen)))


def credited(
    debt: Key, credit: Key, company: str, amount_fen: int, *, debt_from_fen: int, spent_fen: int
) -> list[Move]:
    """A credit covers a debt of the same account, through ``credits:<company>``, which stays level.

    Args:
        debt_from_fen: how much of the debt credits had covered before: it makes the key unique.
        spent_fen: how much the credit had given before.
    """
    clearing, owed = books.credits(company), books.receivable(company)
    return [
        *_moves(debt, (f"credited.{debt_from_fen}", clearing, owed, amount_fen)),
        *_moves(credit, (f"spent.{spent_fen}", owed, clearing, amount_fen)),
    ]


def captured(
    key: Key, company: str, gateway: str, payment_id: int,
    *, amount_fen: int, advance_fen: int = 0, adjust_fen: int = 0,
) -> list[Move]:  # fmt: skip
    """A gateway took the money of one bill.

    Args:
        advance_fen: of it, what is above the bill: the company keeps it for the next one.
        adjust_fen: the discount (below zero) or surcharge of the option that was chosen.
    """
    taken, owed, open_ = (
        books.gateway(gateway),
        books.receivable(company),
        books.uncollected(company),
    )
    return _moves(
        key,
        (f"surcharge:{payment_id}", owed, open_, adjust_fen),
        (f"discount:{payment_id}", open_, owed, -adjust_fen),
        (f"paid:{payment_id}", taken, owed, amount_fen - advance_fen),
        (f"advance:{payment_id}", taken, books.advance(company), advance_fen),
    )


def stray(key: Key, gateway: str, payment_id: int, amount_fen: int) -> list[Move]:
    """A gateway took money its bill cannot take any more."""
    return _moves(key, (f"stray:{payment_id}", books.gateway(gateway), books.RETURNS, amount_fen))


def fee_charged(payment_id: int, gateway: str, fee_fen: int, tax_fen: int) -> list[Move]:
    """The convenience fee of a payment, and the tax on it, never on a bill."""
    return _moves(
        about(payment_id),
        (f"fee:{payment_id}", books.gateway(gateway), books.FEES, fee_fen),
        (f"fee_tax:{payment_id}", books.gateway(gateway), books.FEE_TAX, tax_fen),
    )


def fee_given_back(payment_id: int, fee_fen: int, tax_fen: int) -> list[Move]:
    """No bill of the payment could be paid: the fee goes back with the last of them."""
    return _moves(
        about(payment_id),
        (f"fee_undone:{payment_id}", books.FEES, books.RETURNS, fee_fen),
        (f"fee_tax_undone:{payment_id}", books.FEE_TAX, books.RETURNS, tax_fen),
    )


def written_off(
    key: Key, company: str, payment_id: int, *, amount_fen: int, advance_fen: int = 0
) -> list[Move]:
    """The company closed the bill in its books: now we owe it the money."""
    owed = books.payable(company)
    return _moves(
        key,
        (f"written_off:{payment_id}", books.uncollected(company), owed, amount_fen - advance_fen),
        (f"advance_passed:{payment_id}", books.advance(company), owed, advance_fen),
    )


def unpaid(
    key: Key, company: str, payment_id: int,
    *, amount_fen: int, advance_fen: int = 0, adjust_fen: int = 0,
) -> list[Move]:  # fmt: skip
    """The company refused the payment: the bill owes again, the money waits to go back."""
    owed, open_ = books.receivable(company), books.uncollected(company)
    return _moves(
        key,
        (f"unpaid:{payment_id}", owed, books.RETURNS, amount_fen - advance_fen),
        (f"advance_undone:{payment_id}", books.advance(company), books.RETURNS, advance_fen),
        (f"surcharge_undone:{payment_id}", open_, owed, adjust_fen),
        (f"discount_undone:{payment_id}", owed, open_, -adjust_fen),
    )


def returned(key: Key, way: str, why: str, amount_fen: int) -> list[Move]:
    """Money on its way back has gone back, once.

    Args:
        way: the ledger account it left by: its gateway's or our bank's.
        why: the number of staff's refund; of an automatic one its payment's id.
    """
    return _moves(key, (f"returned:{why}", books.RETURNS, way, amount_fen))


def refunded(
    key: Key, company: str, refund_no: str, amount_fen: int, *, advance_fen: int = 0
) -> list[Move]:
    """A bill the company had confirmed is paid back, at the company's cost; it owes again.

    Args:
        advance_fen: of it, what had been paid above the bill: nothing owes that again.
    """
    cost, of_bill_fen = books.payable(company), amount_fen - advance_fen
    return _moves(
        key,
        (f"refunded:{refund_no}", cost, books.RETURNS, of_bill_fen),
        (f"advance_refunded:{refund_no}", cost, books.RETURNS, advance_fen),
        (f"owes_again:{refund_no}", books.receivable(company), books.uncollected(company),
         of_bill_fen),
    )  # fmt: skip


def suspended(receipt_id: int, gateway: str, amount_fen: int) -> list[Move]:
    """Money came that is on no bill: another amount than asked, or a second time."""
    return _moves(
        about(receipt_id),
        (f"suspense_in:{receipt_id}", books.gateway(gateway), books.suspense(gateway), amount_fen),
    )


def taken_back(
    key: Key, source: str, chargeback_id: int, number: str, amount_fen: int
) -> list[Move]:
    """The payer's bank took money that waited to go back on ``source``: it is not sent again.

    Args:
        number: under which it waited: several refunds of one bill may.
    """
    why = f"taken_back:{chargeback_id}:{number}"
    return _moves(key, (why, source, books.CHARGEBACKS, amount_fen))


def released(receipt_id: int, gateway: str, way: str, amount_fen: int) -> list[Move]:
    """Suspended money has gone back; ``way`` as of ``returned``."""
    return _moves(
        about(receipt_id),
        (f"suspense_out:{receipt_id}", books.suspense(gateway), books.RETURNS, amount_fen),
        (f"returned:{receipt_id}", books.RETURNS, way, amount_fen),
    )


def settled(settlement_id: int, gateway: str, gross_fen: int, gateway_fee_fen: int) -> list[Move]:
    """A gateway paid out into our bank, less its own fee.

    A payout below zero (refunds and fees above payments) takes money out of our bank.
    """
    net_fen = gross_fen - gateway_fee_fen
    taken = books.gateway(gateway)
    return _moves(
        about(settlement_id),
        (f"settled:{settlement_id}", books.BANK, taken, net_fen),
        (f"drawn:{settlement_id}", taken, books.BANK, -net_fen),
        (f"gateway_fee:{settlement_id}", books.GATEWAY_FEES, taken, gateway_fee_fen),
        (f"gateway_fee_back:{settlement_id}", taken, books.GATEWAY_FEES, -gateway_fee_fen),
    )


def unsettled(
    settlement_id: int, gateway: str, gross_fen: int, gateway_fee_fen: int
) -> list[Move]:  # fmt: skip
    """What stood in our bank was not that settlement after all: the counter-transfers."""
    return [
        Move(
            move.account_id,
            move.subject_id,
            move.entry_key.replace(":", "_undone:"),
            debit=move.credit,
            credit=move.debit,
            amount_fen=move.amount_fen,
        )
        for move in settled(settlement_id, gateway, gross_fen, gateway_fee_fen)
    ]


def remitted(payment_id: int, company: str, amount_fen: int) -> list[Move]:
    """We paid a company what we owed it, or a share of it; ``payment_id`` is our transfer's."""
    return _moves(
        about(payment_id),
        (f"remitted:{payment_id}", books.payable(company), books.BANK, amount_fen),
    )


def unremitted(payment_id: int, company: str, amount_fen: int) -> list[Move]:
    """The bank brought that transfer back: we owe the money again."""
    return _moves(
        about(payment_id),
        (f"remitted_undone:{payment_id}", books.BANK, books.payable(company), amount_fen),
    )


def fee_borne(remittance_id: int, company: str, fee_fen: int, tax_fen: int) -> list[Move]:
    """The company bears our fee of what a remittance is about, and the tax on it."""
    owed = books.payable(company)
    return _moves(
        about(remittance_id),
        (f"fee_borne:{remittance_id}", owed, books.FEES, fee_fen),
        (f"fee_tax_borne:{remittance_id}", owed, books.FEE_TAX, tax_fen),
    )


def claim_paid(match_id: int, company: str, amount_fen: int, *, undone: bool = False) -> list[Move]:
    """The company paid into our bank what it owed us back; or that was other money after all."""
    if undone:
        undo = f"claim_paid_undone:{match_id}", books.payable(company), books.BANK, amount_fen
        return _moves(about(match_id), undo)
    paid = f"claim_paid:{match_id}", books.BANK, books.payable(company), amount_fen
    return _moves(about(match_id), paid)


def charged_back(
    chargeback_id: int, payment_id: int, gateway: str, amount_fen: int
) -> list[Move]:  # fmt: skip
    """A payer's bank took the money back from the gateway, and the gateway from us."""
    taken = books.gateway(gateway)
    return _moves(
        about(payment_id), (f"chargeback:{chargeback_id}", books.CHARGEBACKS, taken, amount_fen)
    )


def dispute_fee(chargeback_id: int, payment_id: int, gateway: str, fee_fen: int) -> list[Move]:
    """The gateway asks a fee for a dispute, whoever wins it."""
    taken = books.gateway(gateway)
    return _moves(
        about(payment_id), (f"dispute_fee:{chargeback_id}", books.GATEWAY_FEES, taken, fee_fen)
    )


def dispute_fee_returned(
    chargeback_id: int, payment_id: int, gateway: str, fee_fen: int
) -> list[Move]:  # fmt: skip
    """Some gateways give that fee back with a dispute that is won."""
    why, taken = f"dispute_fee_returned:{chargeback_id}", books.gateway(gateway)
    return _moves(about(payment_id), (why, taken, books.GATEWAY_FEES, fee_fen))


def chargeback_won(
    chargeback_id: int, payment_id: int, gateway: str, amount_fen: int
) -> list[Move]:  # fmt: skip
    """The dispute is decided for us: the gateway has the money again."""
    why, taken = f"chargeback_won:{chargeback_id}", books.gateway(gateway)
    return _moves(about(payment_id), (why, taken, books.CHARGEBACKS, amount_fen))


def chargeback_lost(
    chargeback_id: int, key: Key, company: str, amount_fen: int, *, advance_fen: int = 0
) -> list[Move]:
    """The dispute is decided against us: the company bears its bill, which owes again.

    Args:
        advance_fen: of it, what had been paid above the bill.
    """
    cost, of_bill_fen = books.payable(company), amount_fen - advance_fen
    return _moves(
        key,
        (f"chargeback_lost:{chargeback_id}", cost, books.CHARGEBACKS, of_bill_fen),
        (f"chargeback_advance:{chargeback_id}", cost, books.CHARGEBACKS, advance_fen),
        (f"owes_again:{chargeback_id}", books.receivable(company), books.uncollected(company),
         of_bill_fen),
    )  # fmt: skip


def chargeback_borne(
    chargeback_id: int, payment_id: int, *, fee_fen: int, tax_fen: int, loss_fen: int
) -> list[Move]:
    """What no bill bears of a lost dispute: our fee with its tax, and what had gone back before."""
    return _moves(
        about(payment_id),
        (f"chargeback_fee:{chargeback_id}", books.FEES, books.CHARGEBACKS, fee_fen),
        (f"chargeback_fee_tax:{chargeback_id}", books.FEE_TAX, books.CHARGEBACKS, tax_fen),
        (f"chargeback_borne:{chargeback_id}", books.LOSSES, books.CHARGEBACKS, loss_fen),
    )


def loss_regained(chargeback_id: int, payment_id: int, number: str, fen: int) -> list[Move]:
    """What had gone back before a dispute was lost came back, as ``number``: it is no loss."""
    why = f"chargeback_regained:{chargeback_id}:{number}"
    return _moves(about(payment_id), (why, books.CHARGEBACKS, books.LOSSES, fen))


def difference_written_off(
    act_id: int, payment_id: int, gateway: str, more_fen: int, *, undone: bool = False
) -> list[Move]:
    """A gateway counted a few fen otherwise than we, and a person lets it be so; or takes it back.

    Args:
        more_fen: how much more we have than the gateway; below zero: how much less.
    """
    key = f"difference_undone:{act_id}" if undone else f"difference:{act_id}"
    debit, credit = books.DIFFERENCES, books.gateway(gateway)
    if (more_fen < 0) != undone:
        debit, credit = credit, debit
    return _moves(about(payment_id), (key, debit, credit, abs(more_fen)))


def credit_suspended(suspense_id: int, amount_fen: int, *, undone: bool = False) -> list[Move]:
    """Money in our bank that nobody announced waits until it is known; or is known by now."""
    bank, waits = books.BANK, books.suspense(books.BANK)
    act = f"suspense_in:{suspense_id}", bank, waits, amount_fen
    if undone:
        act = f"suspense_undone:{suspense_id}", waits, bank, amount_fen
    return _moves(about(suspense_id), act)


def rerouted(
    act_id: int,
    payment_id: int,
    gateway: str,
    other: str | None,
    amount_fen: int,
    *,
    undone: bool = False,
) -> list[Move]:
    """The money of a payment through ``gateway`` came through another one; or not, after all.

    Args:
        other: None: it is in our bank, where it waited in suspense.
    """
    key = f"rerouted_undone:{act_id}" if undone else f"rerouted:{act_id}"
    to = books.suspense(books.BANK) if other is None else books.gateway(other)
    debit, credit = to, books.gateway(gateway)
    if undone:
        debit, credit = credit, debit
    return _moves(about(payment_id), (key, debit, credit, amount_fen))
