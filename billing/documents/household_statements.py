"""A household's month on paper: what was billed, paid and is open at each company, and usage."""

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal

from reportlab.graphics.shapes import Drawing

from billing.documents.charts import Line, month_text, rows_drawing
from billing.documents.fonts import require_fonts
from billing.documents.paper import Properties
from billing.documents.sheets import (
    ACROSS,
    About,
    Column,
    Sheets,
    Tile,
    sheets_pdf,
    sheets_volume,
)
from billing.documents.typesetting import MUTED, Term
from billing.household_statement import Figures, Statement
from billing.views import AccountView
from core.clock import add_months, day_bounds
from core.money import format_yuan

_TITLE = Term("家庭月度对账单", "Household statement")
_NOTE = Term(
    "本对账单按账务记录生成，仅供参考，不作为缴费凭证",
    "Made from the ledger for your information; it is no receipt",
)
_ACCOUNTS = (
    Column(Term("公司和户号", "Company and account"), 34),
    Column(Term("期初未缴", "Open before"), 16, right=True),
    Column(Term("本月出账", "Billed"), 16, right=True),
    Column(Term("本月已缴", "Paid"), 16, right=True),
    Column(Term("结余抵扣", "Credits"), 14, right=True),
    Column(Term("期末未缴", "Open after"), 16, right=True),
)
_BILLS = (
    Column(Term("账单", "Bill"), 40),
    Column(Term("账期", "Month"), 18),
    Column(Term("出账日", "Issued"), 18),
    Column(Term("用量", "Usage"), 18, right=True),
    Column(Term("金额", "Amount"), 18, right=True),
)
_TEXT_SIZE, _ROW = 8, 15


def household_statement_pdf(statement: Statement, *, locale: str, public_url: str = "") -> bytes:
    """Return a household's month as a PDF in one language; the same month gives the same bytes.

    Args:
        public_url: where we are, for the codes; without it there are none.
    """
    return sheets_pdf(_drawn(statement, public_url), _about(statement, locale))


def household_statement_volume(
    statements: Iterable[Statement], about: Properties, *, locale: str, public_url: str
) -> bytes:
    """Return many households' months one after another in one PDF, the outline naming each."""
    return sheets_volume(
        ((one.name, _about(one, locale), _drawn(one, public_url)) for one in statements), about
    )


def _about(statement: Statement, locale: str) -> About:
    return About(
        title=_TITLE, of=f"{statement.name} · {_month(statement.month, locale)}", note=_NOTE,
        made_at=day_bounds(add_months(statement.month, 1))[0], locale=locale,
    )  # fmt: skip


def _drawn(statement: Statement, public_url: str) -> Callable[[Sheets], None]:
    def draw(sheets: Sheets) -> None:
        _draw(sheets, statement)
        if public_url and statement.number:
            sheets.codes(
                url=f"{public_url}/household/statement", number=statement.number,
                scan=Term("扫码查看和缴费", "Scan to see and pay"),
                name=Term("对账单编号", "Statement no."),
            )  # fmt: skip

    return draw


def _draw(sheets: Sheets, statement: Statement) -> None:
    require_fonts()
    total = statement.total
    sheets.tiles([
        Tile(Term("本月出账", "Billed in the month"), format_yuan(total.billed_fen)),
        Tile(Term("本月已缴", "Paid in the month"), format_yuan(total.paid_fen)),
        Tile(Term("月末未缴", "Open at its end"), format_yuan(total.after_fen)),
    ])  # fmt: skip
    sheets.heading(Term("各公司", "By company"))
    sheets.table(
        _ACCOUNTS,
        [_account_row(sheets, account, figures) for account, figures in statement.accounts],
        total=[sheets.say(Term("合计", "Total")), *_amounts(total)],
    )
    if statement.lines:
        sheets.heading(Term("本月出的账单", "Bills of the month"))
        sheets.table(
            _BILLS,
            [
                [
                    _name(sheets, line.account), _month(line.billing_month, sheets.about.locale),
                    str(line.issued_on), _usage(line.usage, line.usage_unit),
                    format_yuan(line.amount_fen),
                ]
                for line in statement.lines
            ],
        )  # fmt: skip
    _draw_usage(sheets, statement)
    sheets.line(
        sheets.say(
            Term(
                "账单以各公司出具的为准；如有疑问，请联系相应公司的客服。",
                "Each company's own bill is what counts; please ask its customer service if"
                " anything seems wrong.",
            )
        ),
        size=8,
        colour=MUTED,
    )


def _draw_usage(sheets: Sheets, statement: Statement) -> None:
    locale, shown = sheets.about.locale, [one for one in statement.usage if len(one[2]) > 1]
    if shown:
        sheets.heading(Term("近一年用量", "Usage in the last year"), with_room=240)
    for at in range(0, len(shown), 2):
        pair = shown[at : at + 2]
        sheets.drawings(
            [
                (Term(f"{account.provider_name}（{unit}）", f"{account.provider_name_en} ({unit})"),
                 _chart(points, unit, locale))
                for account, unit, points in pair
            ],
            [_said(points, unit, locale) for _, unit, points in pair],
        )  # fmt: skip


def _said(points: tuple[tuple[date, Decimal], ...], unit: str, locale: str) -> str:
    return "；".join(f"{_month(month, locale)} {_usage(usage, unit)}" for month, usage in points)


def _chart(points: tuple[tuple[date, Decimal], ...], unit: str, locale: str) -> Drawing:
    # A bar's length is a whole number: thousandths, as finely as companies measure.
    lines = [
        Line(_month(month, locale), int(usage.scaleb(3)), _usage(usage, unit))
        for month, usage in points
    ]
    return rows_drawing(
        lines, width=ACROSS // 2 - 16, row=_ROW, size=_TEXT_SIZE, left=_TEXT_SIZE * 9
    )


def _account_row(sheets: Sheets, account: AccountView, figures: Figures) -> list[str]:
    return [_name(sheets, account), *_amounts(figures)]


def _amounts(figures: Figures) -> list[str]:
    amounts = (
        figures.before_fen, figures.billed_fen, figures.paid_fen, figures.credited_fen,
        figures.after_fen,
    )  # fmt: skip
    return [format_yuan(fen) for fen in amounts]


def _name(sheets: Sheets, account: AccountView) -> str:
    company = sheets.say(Term(account.provider_name, account.provider_name_en))
    return f"{company} {account.account_no_masked}"


def _month(month: date, locale: str) -> str:
    return f"{month:%B %Y}" if locale == "en" else month_text(month)


def _usage(usage: Decimal | None, unit: str) -> str:
    return "" if usage is None else f"{usage.normalize():f} {unit}"
