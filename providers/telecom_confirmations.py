"""City Telecom's list of a day's write-offs: a workbook, described as a profile would.

Source: docs/wire/confirmations.md, telecom.
"""

from typing import Final

from providers.profile_confirmation import ConfirmationTable

LISTS: Final = ConfirmationTable.model_validate({
    "columns": [
        {"name": "订单号", "holds": "write_off_no"},
        {"name": "号码", "holds": "account_no"},
        {"name": "账单号", "holds": "bill_no"},
        {"name": "流水号", "holds": "receipt_no"},
        {"name": "金额", "holds": "amount"},  # negative is a reversal: there is no flag
        {"name": "时间", "holds": "written_off", "format": "datetime"},
        {"name": "说明", "holds": "reason"},
    ],
    "file": {"format": "spreadsheet", "sheet": "对账"},
    "trailer": {
        "fields": [
            {"name": "合计", "must_be": "合计"},
            {"name": "日期", "holds": "day"},
            {"name": "笔数", "holds": "row_count"},
            {"name": "总额", "holds": "amount_sum"},
        ]
    },
    "account_no": {"pattern": "[0-9]{8}", "words": "8 digits"},
    "bill_no": {
        "pattern": "[0-9A-Z-]{1,20}",
        "words": "up to 20 of the digits 0-9, the capitals A-Z and -",
    },
})  # fmt: skip
