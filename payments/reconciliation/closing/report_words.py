"""Words of a day's report: a PDF is no page, so it does not speak by the pages' catalogue."""

from billing.documents.typesetting import Term
from payments.reconciliation.closing.checklist import Name, State
from payments.reconciliation.models import BreakKind, Leg

WEEKDAYS = (
    Term("星期一", "Monday"), Term("星期二", "Tuesday"), Term("星期三", "Wednesday"),
    Term("星期四", "Thursday"), Term("星期五", "Friday"), Term("星期六", "Saturday"),
    Term("星期日", "Sunday"),
)  # fmt: skip
LEGS = {
    Leg.GATEWAY: Term("与支付渠道核对一致", "Matched with gateways"),
    Leg.COMPANY: Term("与公司核对一致", "Matched with companies"),
    Leg.BANK: Term("与银行核对一致", "Matched with the bank"),
}
KINDS = {
    BreakKind.MISSING_HERE: Term("对方有、我方无", "Theirs, not ours"),
    BreakKind.MISSING_AT_GATEWAY: Term("我方有、对方无", "Ours, not theirs"),
    BreakKind.AMOUNT_DIFFERS: Term("金额不符", "Amounts differ"),
    BreakKind.DUPLICATE: Term("重复", "Listed twice"),
    BreakKind.LEDGER_DIFFERS: Term("与账簿不符", "Ledger differs"),
    BreakKind.WRITTEN_OFF_UNPAID: Term("已销账、未付款", "Written off, not paid"),
    BreakKind.PAID_NOT_WRITTEN_OFF: Term("已付款、未销账", "Paid, not written off"),
    BreakKind.UNKNOWN_CREDIT: Term("来历不明的进账", "Unknown credit"),
    BreakKind.UNKNOWN_DEBIT: Term("去向不明的出账", "Unknown debit"),
    BreakKind.NOT_SETTLED: Term("未到账", "Not settled"),
    BreakKind.FEE_DIFFERS: Term("手续费不符", "Fees differ"),
    BreakKind.LATE: Term("文件未到，待核", "Late"),
    BreakKind.OTHER_ROUTE: Term("由其他途径到账", "Came another way"),
    BreakKind.REFUND_UNMATCHED: Term("退款对不上", "Refund unmatched"),
}
CHECKS = {
    Name.DAY_OVER: Term("当日已结束", "The day is over"),
    Name.EARLIER_DAYS: Term("此前各日已结账", "Earlier days are closed"),
    Name.PAYMENTS: Term("付款均有结果", "Payments have their outcome"),
    Name.CALLBACKS: Term("渠道通知均已入账", "Gateways' news is booked"),
    Name.GATEWAY_FILES: Term("渠道对账文件已到并核对", "Gateways' files are matched"),
    Name.WRITE_OFFS: Term("公司均已答复销账", "Write-offs are answered"),
    Name.COMPANY_LISTS: Term("公司销账清单已到并核对", "Companies' lists are matched"),
    Name.BANK_STATEMENTS: Term("银行对账单已到", "Bank statements are here"),
    Name.DIFFERENCES: Term("差异均有人负责且未逾期", "Differences have owners, none overdue"),
    Name.LATE_FEES: Term("滞纳金已计算", "Late fees are counted"),
    Name.DEAD_JOBS: Term("没有失败的任务", "No job gave up"),
    Name.REFUNDS: Term("没有在途退款", "No money on its way back"),
    Name.BOOKS: Term("当日账簿无误", "The books hold"),
}
STATES = {
    State.DONE: Term("完成", "done"),
    State.WAITING: Term("等待中", "waiting"),
    State.PROBLEM: Term("待处理", "open"),
}
REMITTANCES = {
    "proposed": Term("待放行", "To be released"),
    "released": Term("待复核", "To be approved"),
    "approved": Term("待付出", "To be sent"),
    "sent": Term("已付出", "Sent"),
    "returned": Term("已退回", "Returned"),
    "carried": Term("结转", "Carried over"),
}
