"""A day's report as a PDF: one to three pages to read, sign and keep."""

from collections.abc import Sequence
from datetime import date

from billing.documents.charts import Line, rows_drawing
from billing.documents.day_charts import Point, columns_drawing, hours_drawing
from billing.documents.sheets import ACROSS, About, Column, Sheets, Tile, sheets_pdf
from billing.documents.typesetting import ALERT, MUTED, Term
from core.clock import BILLING_ZONE
from core.money import format_yuan
from payments.reconciliation import standing
from payments.reconciliation.closing.report import DayReport, Difference
from payments.reconciliation.closing.report_words import (
    CHECKS,
    KINDS,
    LEGS,
    REMITTANCES,
    STATES,
    WEEKDAYS,
)
from payments.reconciliation.models import Leg
from payments.reconciliation.standing import Matched

_CHART_HIGH, _CHART_SIZE = 104, 8
_COUNTED_KINDS = (Term("当日新发现", "New"), Term("1–3天", "1–3 days"), Term("更早", "Older"))


def day_report_pdf(report: DayReport, *, locale: str) -> bytes:
    """Return a day's report as a PDF; the same report gives the same bytes.

    Args:
        locale: ``en``, or else Chinese.
    """
    weekday = WEEKDAYS[report.day.weekday()]
    about = About(
        title=Term("日结报表", "Report of the day"),
        of=f"{report.day} {weekday.en if locale == 'en' else weekday.zh}",
        note=Term(
            f"数据截至{_moment(report)}（上海时间）。", f"As of {_moment(report)}, Shanghai time."
        ),
        made_at=report.made_at,
        locale=locale,
    )

    def draw(sheets: Sheets) -> None:
        for part in (
            _glance, _charts, _gateways, _companies, _differences, _back, _remittances, _checks,
            _seal,
        ):  # fmt: skip
            part(sheets, report)

    return sheets_pdf(draw, about)


def _moment(report: DayReport) -> str:
    return report.made_at.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M")


def _glance(sheets: Sheets, report: DayReport) -> None:
    """Write whether the day is closed, and its four figures."""
    closed = report.view.closed_at is not None
    state = Term("已结账", "Closed") if closed else Term("未结账，数据未封存", "Open: not sealed")
    sheets.line(sheets.say(state), size=11, colour=MUTED if closed else ALERT)
    sheets.y -= 2
    taken, last = report.taken, report.before
    open_ = sum(one.all for one in report.counted)
    sheets.tiles(
        [
            Tile(Term("收款金额", "Money in"), format_yuan(taken.amount_fen),
                 sheets.say(_than(taken.amount_fen, last.amount_fen))),
            Tile(Term("付款笔数", "Payments"), f"{taken.payments:,}"),
            Tile(Term("与支付渠道核对一致", "Matched with gateways"),
                 _share(standing.together(list(report.matched), Leg.GATEWAY))),
            Tile(Term("本日未处理差异", "Differences of the day"),
                 f"{report.differences_in_all:,}",
                 sheets.say(Term(f"全部未处理 {open_:,}", f"{open_:,} open in all"))),
        ]
    )  # fmt: skip


def _than(amount_fen: int, before_fen: int) -> Term:
    if before_fen == 0:
        return Term("前一日无收款", "nothing the day before")
    percent = (amount_fen - before_fen) * 100 // before_fen
    return Term(f"较前一日 {percent:+,}%", f"{percent:+,} % on the day before")


def _share(one: Matched | None) -> str:
    """Return how much is matched in percent, rounded down to a tenth."""
    if one is None or one.per_mille is None:
        return "—"
    whole, tenth = divmod(one.per_mille, 10)
    return f"{whole}.{tenth}%"


def _charts(sheets: Sheets, report: DayReport) -> None:
    wide = ACROSS // 2 - 14
    by_hour = hours_drawing(
        report.taken.by_hour_fen, report.before.by_hour_fen,
        width=wide, height=_CHART_HIGH, size=_CHART_SIZE,
    )  # fmt: skip
    points = [Point(f"{one.day.month}-{one.day.day}", one.amount_fen) for one in report.trend]
    by_day = columns_drawing(
        points, width=wide, height=_CHART_HIGH, size=_CHART_SIZE, strong=len(points) - 1
    )
    sheets.y -= 8
    sheets.drawings(
        [
            (Term("按小时（折线为前一日）", "By hour; the line is the day before"), by_hour),
            (Term("近14日", "The last 14 days"), by_day),
        ]
    )


def _gateways(sheets: Sheets, report: DayReport) -> None:
    sheets.heading(Term("支付渠道", "Gateways"))
    total_fen = report.taken.amount_fen
    took = [one for one in report.gateways if one.amount_fen]
    if took:
        lines = [
            Line(sheets.say(one.name), one.amount_fen, _of(one.amount_fen, total_fen))
            for one in took
        ]
        share = rows_drawing(lines, width=ACROSS, row=13, size=_CHART_SIZE, left=110)
        sheets.drawings([(Term("收款占比", "Share of the money"), share)])
    rows = [
        (
            sheets.say(one.name), f"{one.payments:,}", format_yuan(one.amount_fen),
            _share(one.matched), format_yuan(one.fee_fen), format_yuan(one.unsettled_fen),
        )
        for one in report.gateways
    ]  # fmt: skip
    sheets.table(
        (
            Column(Term("渠道", "Gateway"), 34), Column(Term("笔数", "Payments"), 11, True),
            Column(Term("金额", "Amount"), 18, True),
            Column(Term("核对一致", "Matched"), 13, True),
            Column(Term("手续费", "Fees"), 15, True),
            Column(Term("当晚未清算", "Not settled yet"), 18, True),
        ),
        rows or [_nothing(sheets, 6)],
        total=(
            sheets.say(Term("合计", "Sum")), f"{report.taken.payments:,}", format_yuan(total_fen),
            _share(standing.together(list(report.matched), Leg.GATEWAY)),
            format_yuan(sum(one.fee_fen for one in report.gateways)),
            format_yuan(sum(one.unsettled_fen for one in report.gateways)),
        ),
    )  # fmt: skip


def _of(part_fen: int, whole_fen: int) -> str:
    return f"{part_fen * 100 // whole_fen}%" if whole_fen else "—"


def _nothing(sheets: Sheets, columns: int) -> list[str]:
    return [sheets.say(Term("无", "none")), *[""] * (columns - 1)]


def _companies(sheets: Sheets, report: DayReport) -> None:
    sheets.heading(Term("公用事业公司", "Companies"))
    is_english = sheets.about.locale == "en"
    rows = [
        (one.name_en if is_english else one.name,
         *map(format_yuan, (one.billed_fen, one.settled_fen, one.confirmed_fen, one.paid_out_fen,
                            one.owed_fen)))
        for one in report.companies
    ]  # fmt: skip
    sheets.table(
        (
            Column(Term("公司", "Company"), 22), Column(Term("出账", "Billed"), 16, True),
            Column(Term("销应收", "Paid or taken back"), 16, True),
            Column(Term("销账确认", "Confirmed"), 16, True),
            Column(Term("已付出", "Paid out"), 14, True),
            Column(Term("当晚应付", "We owe it"), 16, True),
        ),
        rows or [_nothing(sheets, 6)],
    )  # fmt: skip


def _differences(sheets: Sheets, report: DayReport) -> None:
    sheets.heading(Term("核对与差异", "Matched, and what differs"))
    legs = [
        f"{sheets.say(LEGS[leg])} {_share(standing.together(list(report.matched), leg))}"
        for leg in Leg
    ]
    sheets.line(" · ".join(legs))
    if report.counted:
        sheets.table(
            (Column(Term("未处理差异（全部日期）", "Open differences, all days"), 40),
             *(Column(name, 14, True) for name in _COUNTED_KINDS),
             Column(Term("合计", "All"), 14, True)),
            [(sheets.say(KINDS[one.kind]), *(f"{count:,}" for count in
              (one.today, one.days, one.older, one.all))) for one in report.counted],
        )  # fmt: skip
    if report.differences:
        sheets.table(
            (
                Column(Term("本日差异", "Of this day"), 22), Column(Term("编号", "Reference"), 26),
                Column(Term("我方", "Ours"), 14, True), Column(Term("对方", "Theirs"), 14, True),
                Column(Term("天数", "Days"), 7, True), Column(Term("负责人", "Owner"), 17, True),
            ),
            [_difference(sheets, report, one) for one in report.differences],
        )  # fmt: skip
    left = report.differences_in_all - len(report.differences)
    if left:
        sheets.line(
            sheets.say(Term(f"另有 {left:,} 项，见控制台。", f"{left:,} more: see the console."))
        )


def _difference(sheets: Sheets, report: DayReport, one: Difference) -> Sequence[str]:
    ours, theirs = (
        "—" if fen is None else format_yuan(fen) for fen in (one.ours_fen, one.theirs_fen)
    )
    owner = one.owner or sheets.say(Term("无人负责", "nobody"))
    return (
        sheets.say(KINDS[one.kind]), f"{_whose(sheets, report, [one.source])} {one.reference}",
        ours, theirs, str(one.age_days), owner,
    )  # fmt: skip


def _back(sheets: Sheets, report: DayReport) -> None:
    sheets.heading(Term("退款与争议", "Money on its way back"))
    back = report.back
    sheets.table(
        (
            Column(Term("当日转入待退", "To be returned"), 20, True),
            Column(Term("当日退出", "Returned"), 20, True),
            Column(Term("当晚待退", "Left that evening"), 20, True),
            Column(Term("当晚挂账", "In suspense"), 20, True),
            Column(Term("当晚争议中", "In dispute"), 20, True),
        ),
        [[format_yuan(fen) for fen in back]],
    )  # fmt: skip


def _remittances(sheets: Sheets, report: DayReport) -> None:
    if not report.remittances:
        return
    sheets.heading(Term("划拨", "Remittances"))
    is_english = sheets.about.locale == "en"
    sheets.table(
        (
            Column(Term("编号", "Number"), 24), Column(Term("公司", "Company"), 22),
            Column(Term("起止", "Days"), 26), Column(Term("状态", "State"), 12),
            Column(Term("净额", "Net"), 16, True),
        ),
        [
            (one.number, one.company_en if is_english else one.company,
             _span(one.from_on, one.to_on), sheets.say(REMITTANCES.get(one.state,
             Term(one.state, one.state))), format_yuan(one.net_fen))
            for one in report.remittances
        ],
    )  # fmt: skip


def _span(from_on: date, to_on: date) -> str:
    return str(from_on) if from_on == to_on else f"{from_on} – {to_on}"


def _checks(sheets: Sheets, report: DayReport) -> None:
    closed = report.view.closed_at is not None
    if not closed:
        done = report.checks_in_all - len(report.checks)
        sheets.heading(
            Term(f"结账检查：已完成 {done}/{report.checks_in_all}",
                 f"Before it is closed: {done} of {report.checks_in_all} done")
        )  # fmt: skip
    elif report.checks:
        sheets.heading(Term("结账时未完成的检查", "What was open when it was closed"))
    if report.checks:
        sheets.table(
            (Column(Term("检查", "Check"), 44), Column(Term("涉及", "Whose"), 30),
             Column(Term("状态", "State"), 14), Column(Term("数量", "How many"), 12, True)),
            [(sheets.say(CHECKS[one.name]), _whose(sheets, report, one.who),
              sheets.say(STATES[one.state]), f"{one.how_many:,}") for one in report.checks],
        )  # fmt: skip
    if report.despite:
        sheets.facts([(Term("仍然结账的原因", "Closed all the same because"), report.despite)])


def _whose(sheets: Sheets, report: DayReport, codes: Sequence[str]) -> str:
    return ", ".join(sheets.say(report.whose(code)) for code in codes)


def _seal(sheets: Sheets, report: DayReport) -> None:
    """Write what the books are sealed with, and lines to sign on."""
    view = report.view
    sheets.heading(Term("账簿", "The books"), with_room=190)
    facts = [(Term("记账笔数 / 金额", "Transfers / amount"),
              f"{view.transfers:,} / {format_yuan(view.amount_fen)}")]  # fmt: skip
    if view.closed_at is not None:
        closed_at = view.closed_at.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M")
        facts += [
            (Term("结账", "Closed"), f"{closed_at}  {view.closed_by}"),
            (Term("封签", "Seal"), view.seal or "—"),
            (Term("前一日封签", "Seal of the day before"), view.before or "—"),
        ]
    sheets.facts(facts)
    sheets.signatures(
        (
            Term("制表 / 日期", "Prepared by, on"),
            Term("复核 / 日期", "Checked by, on"),
            Term("批准 / 日期", "Approved by, on"),
        )
    )
