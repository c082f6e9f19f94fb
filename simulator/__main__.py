"""Run the simulator, or write its companies' bill files: ``python -m simulator --help``."""

import json
import sys
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from core.errors import Conflict, Invalid
from simulator.app import Options, build_app
from simulator.bill_files import Totals, write_gas, write_power, write_telecom, write_water
from simulator.bills import Edition
from simulator.chance import mix
from simulator.city import (
    DEMO_SEED,
    City,
    bill_dates,
    dated,
    fresh_issue,
    is_billed,
    reminded_on,
)
from simulator.companies import COMPANIES
from simulator.extras import extra_telecom_bills, extra_water_reminder
from simulator.faults import Fault
from simulator.journal import Journal
from simulator.utility import UtilityOptions, journal_path, run_utility
from simulator.utility_books import UtilityBooks, WriteOffRequest
from simulator.utility_page import DEMO_SECRET
from simulator.wechatpay_records import WechatpayOptions
from simulator.wire import read_json

app = typer.Typer(add_completion=False, no_args_is_help=True)
_SUFFIXES = {"water": "txt", "power": "csv", "gas": "txt", "telecom": "xml"}


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="HTTP port, on 127.0.0.1.")] = 8100,
    smtp_port: Annotated[
        int | None, typer.Option(help="Where to catch mail; none if left out.")
    ] = None,
    data: Annotated[Path, typer.Option(help="The simulator's memory.")] = Path(".data/simulator"),
    secret: Annotated[str, typer.Option(help="Agreed with the sandbox gateway.")] = DEMO_SECRET,
    company: Annotated[
        list[str] | None, typer.Option(help="Where a company's own page is: CODE=URL.")
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="How browsers reach it.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    stripe_notify_url: Annotated[
        str | None, typer.Option(help="Where Stripe's webhooks go; none if left out.")
    ] = None,
    wechatpay: Annotated[
        Path | None, typer.Option(help="WeChat Pay's merchant and keys, a JSON file.")
    ] = None,
    shop: Annotated[
        Path | None, typer.Option(help="A shop's key to take cash with, a JSON file.")
    ] = None,
) -> None:
    """Run the far side: payment gateway, letter box, and the switches of the companies."""
    if context.invoked_subcommand is not None:
        return
    options = Options(
        data_dir=data,
        secret=secret,
        smtp_port=smtp_port,
        public_url=public_url,
        company_urls=_read_urls(company or []),
        stripe_notify_url=stripe_notify_url,
        shop=shop,
        wechatpay=read_json(WechatpayOptions, wechatpay.read_bytes()) if wechatpay else None,
    )
    typer.echo(f"simulator: http://127.0.0.1:{port}/  mail: {smtp_port or 'off'}", err=True)
    uvicorn.run(build_app(options), host=host, port=port, log_level="warning", ws="none")


@app.command()
def utility(
    code: Annotated[str, typer.Argument(help=f"One of {', '.join(COMPANIES)}.")],
    port: Annotated[int, typer.Option(help="HTTP port.")],
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    data: Annotated[Path, typer.Option(help="The simulator's memory.")] = Path(".data/simulator"),
    secret: Annotated[str, typer.Option(help="Agreed with the company.")] = DEMO_SECRET,
) -> None:
    """Run one company, a process of its own; ``python -m simulator.utility`` starts it faster."""
    if code not in COMPANIES:
        raise typer.BadParameter(f"{code!r} is none of {', '.join(COMPANIES)}")
    run_utility(UtilityOptions(code=code, data_dir=data, secret=secret), host, port)


@app.command()
def files(
    months: Annotated[str, typer.Option(help="Billing months, as 2026-09,2026-10.")],
    out: Annotated[Path, typer.Option(help="The folder to write into; made if missing.")],
    households: Annotated[int, typer.Option(min=1)] = 1_000,
    seed: Annotated[int, typer.Option(help="Another seed is another city.")] = DEMO_SEED,
    corrections: Annotated[
        bool, typer.Option(help="Write a second file of corrected and cancelled bills.")
    ] = False,
    reminders: Annotated[
        bool, typer.Option(help="Write a file of reminders, too: water and telecom only.")
    ] = False,
    fresh_on: Annotated[
        str | None,
        typer.Option(help="Date each company's last bills as issued just before this day."),
    ] = None,
    extras: Annotated[
        bool, typer.Option(help="With --fresh-on: give household 2 one bill of every kind.")
    ] = False,
) -> None:
    """Write the bill files of every company and month; water and gas bill odd months only."""
    try:
        wanted = [date.fromisoformat(f"{month.strip()}-01") for month in months.split(",")]
        fresh = date.fromisoformat(fresh_on) if fresh_on else None
    except ValueError as wrong:
        raise typer.BadParameter("months are written 2026-09,2026-10, days 2026-11-20") from wrong
    try:
        city = City(seed, households)
    except Invalid as wrong:
        raise typer.BadParameter(wrong.message) from wrong
    out.mkdir(parents=True, exist_ok=True)
    for month in wanted:
        for company in (code for code in COMPANIES if is_billed(code, month)):
            last = not any(is_billed(company, later) for later in wanted if later > month)
            _write(city, company, month, out, (Edition.ISSUED,), fresh if last else None)
            if corrections:
                _write(city, company, month, out, (Edition.CORRECTED, Edition.CANCELLED))
            if reminders and company in ("water", "telecom"):
                _write(city, company, month, out, (Edition.REMINDED,))
    if extras and fresh:
        _write_extras(city, wanted, out, fresh)


def _write_extras(city: City, months: list[date], out: Path, on: date) -> None:
    """Write the last month's extra telecom bills, and remind of the water bill before the last."""
    last, bills = max(months), extra_telecom_bills(city, max(months), on)
    path = out / f"telecom-{last:%Y%m}-extras.xml"
    with path.open("wb") as stream:
        totals = write_telecom(stream, bills, _sequence(city, last, 1, on), bills[0].issued_on)
    _tell(path, totals, bills[0].issued_on)
    for month in sorted(month for month in months if is_billed("water", month))[-2:-1]:
        paper = extra_water_reminder(city, month)
        path = out / f"water-{month:%Y%m}-extras.txt"
        with path.open("wb") as stream:
            totals = write_water(stream, [paper], _sequence(city, month, 2, on), paper.issued_on)
        _tell(path, totals, paper.issued_on)


def _tell(path: Path, totals: Totals, newest_on: date) -> None:
    """Print a file, what is in it, and the day its newest bill was issued."""
    typer.echo(f"{path}\t{totals.bill_count}\t{totals.amount_fen}\t{newest_on}")


@app.command(name="write-offs")
def write_offs(
    data: Annotated[Path, typer.Option(help="The simulator's memory.")] = Path(".data/simulator"),
) -> None:
    """Take in write-offs of the past: lines of JSON as docs/wire/write-off.md has them.

    Each says its ``company``, too. Prints each number with its receipt, blank if it was not taken.
    Companies that are running learn of it when they start again.
    """
    with ExitStack() as stack:
        books: dict[str, UtilityBooks] = {}
        for line in sys.stdin:
            told = json.loads(line)
            code = told.pop("company")
            if code not in books:
                journal = stack.enter_context(closing(Journal(journal_path(data, code))))
                books[code] = UtilityBooks(code, journal)
            asked = read_json(WriteOffRequest, json.dumps(told).encode())
            typer.echo(f"{asked.write_off_no}\t{_receipt(books[code], asked)}")


def _receipt(books: UtilityBooks, asked: WriteOffRequest) -> str:
    try:
        return books.receive(asked, Fault.NONE, now=asked.paid_at).receipt
    except Conflict:
        return ""


@app.command()
def household(
    number: Annotated[int, typer.Argument(min=1, help="1 is the demo household.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed is another city.")] = DEMO_SEED,
) -> None:
    """Print one household as JSON: holder, address and account numbers by company."""
    found = City(seed, number).household(number)
    accounts = {code: found.account_no(code) for code in COMPANIES}
    shown = {"holder": found.holder, "address": found.address, "accounts": accounts}
    typer.echo(json.dumps(shown, ensure_ascii=False))


def _write(
    city: City,
    company: str,
    month: date,
    out: Path,
    editions: tuple[Edition, ...],
    fresh_on: date | None = None,
) -> None:
    """Write one file, under its final name only once it is whole."""
    kind = {Edition.ISSUED: "", Edition.CORRECTED: "-corrections", Edition.REMINDED: "-reminders"}
    name = f"{company}-{month:%Y%m}{kind[editions[0]]}.{_SUFFIXES[company]}"
    sequence = _sequence(city, month, list(kind).index(editions[0]), fresh_on)
    part = out / f".{name}.part"
    totals = _write_part(city, company, month, part, editions, sequence, fresh_on)
    part.rename(out / name)
    _tell(out / name, totals, _sent_on(company, month, editions[0], fresh_on))


def _sent_on(company: str, month: date, edition: Edition, fresh_on: date | None) -> date:
    """Return the day the newest bill of a file was issued."""
    if edition is Edition.REMINDED:
        return reminded_on(bill_dates(company, month).due_on)
    return fresh_issue(company, fresh_on) if fresh_on else bill_dates(company, month).issued_on


def _sequence(city: City, month: date, kind: int, fresh_on: date | None) -> int:
    """Return a file's number, of up to eight digits: another file, another number.

    A file is its month, its kind, its city and the day it is dated for. The last two are drawn into
    the four lower digits: one in ten thousand of such pairs shares them with another.
    """
    months = (month.year - 2015) * 12 + month.month
    drawn = mix(city.seed * 1_000_003 + city.households * 4_001 + (fresh_on or month).toordinal())
    return (months * 3 + kind) * 10_000 + drawn % 10_000


def _write_part(
    city: City,
    company: str,
    month: date,
    path: Path,
    editions: tuple[Edition, ...],
    sequence: int,
    fresh_on: date | None,
) -> Totals:
    on = bill_dates(company, month).issued_on
    with path.open("wb") as stream:
        if company == "water":
            water = (bill for edition in editions for bill in city.water_bills(month, edition))
            return write_water(stream, dated(water, company, fresh_on), sequence, on)
        if company == "power":
            power = (bill for edition in editions for bill in city.power_bills(month, edition))
            return write_power(stream, dated(power, company, fresh_on), sequence, on)
        if company == "gas":
            gas = (bill for edition in editions for bill in city.gas_bills(month, edition))
            return write_gas(stream, dated(gas, company, fresh_on), sequence, on)
        telecom = (bill for edition in editions for bill in city.telecom_bills(month, edition))
        return write_telecom(stream, dated(telecom, company, fresh_on), sequence, on)


def _read_urls(given: list[str]) -> dict[str, str]:
    """Read ``--company`` values."""
    urls = {}
    for value in given:
        code, mark, url = value.partition("=")
        if not mark or code not in COMPANIES:
            raise typer.BadParameter(f"write CODE=URL with a CODE of {', '.join(COMPANIES)}")
        urls[code] = url
    return urls


if __name__ == "__main__":
    app(prog_name="python -m simulator")
