"""The advice of a remittance as a PDF (划拨通知书): what a company is paid, and why."""

from itertools import groupby, islice

from billing.documents.sheets import About, Column, Sheets, Tile, sheets_pdf
from billing.documents.typesetting import MUTED, Term
from core.money import format_yuan
from payments.remittance.models import Basis, LineKind, RemittanceState
from payments.remittance.views import Advice, Item, Line

ITEMS_SHOWN = 500  # some twelve pages; the CSV has every bill

_KINDS = {
    LineKind.COLLECTED: Term("已销账代收款", "Bills collected"),
    LineKind.ADVANCE: Term("预缴款", "Paid ahead"),
    LineKind.REFUNDED: Term("退款", "Refunds"),
    LineKind.CHARGED_BACK: Term("拒付扣回", "Lost disputes"),
    LineKind.FEE: Term("服务费", "Our fee"),
    LineKind.FEE_TAX: Term("服务费税额", "Tax on our fee"),
    LineKind.OTHER: Term("其他", "Other"),
}
_STATES = {
    RemittanceState.PROPOSED: Term("待放行", "To be released"),
    RemittanceState.RELEASED: Term("待复核", "To be approved"),
    RemittanceState.APPROVED: Term("待付出", "To be sent"),
    RemittanceState.SENT: Term("已付出", "Sent"),
    RemittanceState.RETURNED: Term("银行退回，待重付", "Returned by the bank, to be sent again"),
    RemittanceState.CARRIED: Term("结转下期", "Carried to the next one"),
}
_PAID = Term("已付出，银行对账单已证实", "Sent, and in our bank's statement")
_BASES = {
    Basis.NET: Term("净额划拨", "Net: deductions are taken off"),
    Basis.GROSS: Term("全额划拨，扣减另行结算", "Gross: what is owed to us is claimed apart"),
}


def remittance_advice_pdf(advice: Advice, locale: str) -> bytes:
    """Return the advice of a remittance as a PDF; its first bills are listed, and how many more.

    Args:
        locale: ``en``, or else Chinese.
    """
    items = list(islice(advice.items, ITEMS_SHOWN))
    about = About(
        title=Term("划拨通知书", "Remittance advice"),
        of=f"{advice.company_name} · {advice.number}",
        note=Term("本通知书不是税务发票。", "This advice is not a tax invoice."),
        made_at=advice.made_at,
        locale=locale,
    )

    def draw(sheets: Sheets) -> None:
        _summary(sheets, advice)
        _reckoning(sheets, advice)
        _accounts(sheets, advice)
        _days(sheets, advice)
        _bills(sheets, advice, items)

    return sheets_pdf(draw, about)


def _summary(sheets: Sheets, advice: Advice) -> None:
    state = _PAID if advice.is_paid else _STATES[advice.state]
    sheets.line(sheets.say(state), size=11, colour=MUTED)
    sheets.y -= 2
    sheets.tiles(
        [
            Tile(Term("实付金额", "Paid to you"), format_yuan(advice.paid_fen)),
            Tile(Term("代收总额", "Collected"), format_yuan(advice.gross_fen)),
            Tile(Term("起止日期", "Days"), _span(advice)),
            Tile(Term("应付日期", "Due on"), str(advice.due_on)),
        ]
    )
    sheets.y -= 6
    facts = [
        (Term("编号", "Number"), advice.number),
        (Term("收款单位", "Company"), advice.company_name),
        (Term("划拨方式", "Basis"), sheets.say(_BASES[advice.basis])),
        (Term("明细笔数", "Bills and returns"), f"{advice.item_count:,}"),
    ]
    if advice.sent_on is not None:
        facts.append((Term("付出日期", "Sent on"), str(advice.sent_on)))
    sheets.facts(facts)


def _span(advice: Advice) -> str:
    first, last = advice.from_on, advice.to_on
    return str(first) if first == last else f"{first} – {last:%m-%d}"


def _reckoning(sheets: Sheets, advice: Advice) -> None:
    """Write how the net comes about, line by line, down to what is paid."""
    sheets.heading(Term("金额计算", "How it is reckoned"))
    rows = [(Term("代收总额", "Collected"), advice.gross_fen)]
    if advice.basis is Basis.NET:
        rows += [(_KINDS[one.kind], -one.amount_fen) for one in advice.deductions]
    rows += [
        (term, fen)
        for term, fen in (
            (Term("上期结转", "Carried from the one before"), advice.carried_fen),
            (Term("解除上期暂扣", "Held back before, and released"), advice.released_fen),
            (Term("本期暂扣（争议中）", "Held back: disputed by payers' banks"), -advice.held_fen),
        )
        if fen
    ]
    what, amount = Term("项目", "What"), Term("金额", "Amount")
    sheets.table(
        (Column(what, 70), Column(amount, 30, True)),
        [(sheets.say(term), format_yuan(fen)) for term, fen in rows],
        total=(sheets.say(Term("净额", "Net")), format_yuan(advice.net_fen)),
    )
    if advice.paid_fen != advice.net_fen:
        carried = Term("净额不付，结转下期。", "The net is not paid: it goes to the next one.")
        sheets.line(sheets.say(carried))
    if advice.claimed_fen:
        sheets.table(
            (Column(Term("另行结算", "Claimed apart"), 70), Column(amount, 30, True)),
            [(sheets.say(_KINDS[one.kind]), format_yuan(one.amount_fen))
             for one in advice.deductions],
            total=(sheets.say(Term("应付我方", "You owe us, under this number")),
                   format_yuan(advice.claimed_fen)),
        )  # fmt: skip


def _accounts(sheets: Sheets, advice: Advice) -> None:
    if not advice.shares:
        return
    sheets.heading(Term("收款账户", "Accounts"))
    sheets.table(
        (
            Column(Term("户名", "Name"), 30), Column(Term("账号", "Account"), 22),
            Column(Term("行号", "Bank"), 16), Column(Term("银行流水标识", "Reference"), 24),
            Column(Term("金额", "Amount"), 18, True),
        ),
        [(one.account_name, one.account_masked, one.bank_code, one.end_to_end_id,
          format_yuan(one.amount_fen)) for one in advice.shares],
        total=(sheets.say(Term("合计", "Sum")), "", "", "",
               format_yuan(sum(one.amount_fen for one in advice.shares))),
    )  # fmt: skip


def _days(sheets: Sheets, advice: Advice) -> None:
    sheets.heading(Term("逐日汇总", "Day by day"))
    rows = []
    for day, lines in groupby(advice.lines, key=lambda line: line.day):
        rows += [_day_row(sheets, str(day), line) for line in lines]
    sheets.table(
        (
            Column(Term("日期", "Day"), 22), Column(Term("类别", "Kind"), 38),
            Column(Term("笔数", "Count"), 16, True), Column(Term("金额", "Amount"), 24, True),
        ),
        rows,
    )  # fmt: skip


def _day_row(sheets: Sheets, day: str, line: Line) -> tuple[str, ...]:
    kind = sheets.say(_KINDS[line.kind])
    return day, kind, f"{line.transfers:,}", format_yuan(line.amount_fen)


def _bills(sheets: Sheets, advice: Advice, items: list[Item]) -> None:
    if not items:
        return
    sheets.heading(Term("账单明细", "Bills"))
    more = advice.item_count - len(items)
    if more > 0:
        told = Term(
            f"此处列出前{len(items):,}笔，另有{more:,}笔，全部明细见CSV文件。",
            f"The first {len(items):,} are listed here, {more:,} more are in the CSV file.",
        )
        sheets.line(sheets.say(told), colour=MUTED)
    sheets.table(
        (
            Column(Term("日期", "Day"), 15), Column(Term("类别", "Kind"), 19),
            Column(Term("账单号", "Bill"), 20), Column(Term("户号", "Account"), 17),
            Column(Term("业务编号", "Reference"), 25), Column(Term("缴费日", "Paid on"), 15),
            Column(Term("金额", "Amount"), 17, True),
        ),
        [(str(one.day), sheets.say(_KINDS[one.kind]), one.bill_no, one.account_masked,
          one.reference, str(one.paid_on or "—"), format_yuan(one.amount_fen)) for one in items],
    )  # fmt: skip
