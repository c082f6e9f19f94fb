"""The four companies of the city."""

from typing import NamedTuple


class Company(NamedTuple):
    """``account_digits`` is how long its account numbers (户号) are; Source: bill-files.md."""

    code: str
    name: str
    name_en: str
    account_digits: int
    bills_every_months: int


COMPANIES = {
    company.code: company
    for company in (
        Company("water", "城市自来水", "City Water", 10, 2),
        Company("power", "城市电力", "City Power", 13, 1),
        Company("gas", "城市燃气", "City Gas", 12, 2),
        Company("telecom", "城市电信", "City Telecom", 8, 1),
    )
}
