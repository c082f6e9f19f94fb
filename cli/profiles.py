"""``citybill profile``: trying a company's file, proposing a profile, and putting one in place."""

import os
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.errors import Conflict, Invalid
from core.money import format_yuan
from core.settings import settings
from providers.base import BillRecord
from providers.profiles import Profile, load_profile
from providers.proposing.proposal import Company, Proposal, propose
from providers.proposing.trial import Landed, Trial, first_complaints, try_out
from providers.registry import PROVIDERS, reader_from, source_of

COMPLAINTS_SHOWN: Final = 20


def check(file: Path, profile: Path, *, rows: int) -> Trial:
    """Read a file by a profile; nothing is imported.

    Raises:
        Invalid: the profile itself is wrong.
    """
    with file.open("rb") as stream:
        return try_out(load_profile(profile), stream, rows=rows)


def print_trial(trial: Trial, *, aside: bool = False) -> None:
    """Print a file's first rows, raw and as they would land, and every complaint.

    Args:
        aside: to standard error, beside a text that somebody may be keeping.
    """
    console = Console(highlight=False, stderr=aside)
    console.print(escape(trial.found))
    if trial.heading is not None:
        console.print(f"file number {escape(trial.heading)}")
    table = Table("line", "as it stands in the file", "as it would land", show_lines=True)
    for one in trial.landed:
        table.add_row(str(one.line_no), escape(one.raw), escape("\n".join(_told(one))))
    console.print(table)
    for complaint in first_complaints(trial, COMPLAINTS_SHOWN):
        column = f", column {complaint.column}" if complaint.column else ""
        console.print(escape(f"line {complaint.line_no}{column}: {complaint.reason}"))
    for total in trial.totals:
        read = f", read {total.read}" if total.read else ""
        console.print(escape(f"{total.name}: stated {total.stated}{read}"))
    console.print(
        f"{trial.bills:,} bills would land, {trial.rejects:,} rows would be rejected,"
        f" {format_yuan(trial.amount_fen)} in all"
    )
    if trial.refusal is not None:
        console.print(f"[bold red]the file would be refused[/] {escape(str(trial.refusal))}")


def _told(one: Landed) -> list[str]:
    row = one.record
    if row is None:
        return ["rejected"]
    used = "" if row.usage is None else f" · {row.usage} {row.usage_unit}"
    lines = [
        f"account {row.account_no} · {row.holder_name} · {row.address}",
        f"{row.kind.value} {row.bill_no} v{row.version} for {row.billing_month:%Y-%m}{used}",
        f"{row.period_from_on} to {row.period_to_on}, issued {row.issued_on}, due {row.due_on}",
        f"amount {format_yuan(row.amount_fen)}",
    ]
    return lines + [f"  {item.name} {format_yuan(item.amount_fen)}" for item in row.items]


def as_object(trial: Trial) -> dict[str, Any]:
    """Return a trial as ``--json`` prints it."""
    refusal = trial.refusal
    return {
        "ok": trial.is_clean,
        "found": trial.found,
        "heading": trial.heading,
        "bills": trial.bills,
        "rejects": trial.rejects,
        "amount_fen": trial.amount_fen,
        "totals": [total._asdict() for total in trial.totals],
        "refusal": None if refusal is None else {
            "line_no": refusal.line_no, "column": refusal.column, "reason": refusal.message
        },
        "rows": [
            {"line_no": one.line_no, "raw": one.raw, "record": _record(one.record)}
            for one in trial.landed
        ],
        "complaints": [complaint._asdict() for complaint in trial.complaints],
    }  # fmt: skip


def _record(record: BillRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    terms = None if record.pay_terms is None else [
        option._asdict() for option in record.pay_terms.options
    ]  # fmt: skip
    return record._asdict() | {
        "items": [item._asdict() for item in record.items],
        "pay_terms": terms,
        "reading": None if record.reading is None else record.reading._asdict(),
    }


def proposed(
    file: Path, company: Company, *, out: Path | None, rows: int
) -> tuple[Proposal, Trial | None]:
    """Propose a profile from a sample and try it; it is written to ``out`` and nowhere else.

    Raises:
        Conflict: ``out`` is there already.
    """
    with file.open("rb") as stream:
        proposal = propose(stream, company)
        profile = proposal.trial
        stream.seek(0)
        trial = None if profile is None else try_out(profile, stream, rows=rows)
    if out is not None:
        try:
            with out.open("x", encoding="utf-8") as kept:
                kept.write(proposal.text)
        except FileExistsError:
            raise Conflict(f"{out} is there already: choose another name with --out") from None
    return proposal, trial


def print_proposal(proposal: Proposal, trial: Trial | None, out: Path | None) -> None:
    """Print the TOML and, to standard error, what it makes of the sample and what is open."""
    if out is None:
        Console(soft_wrap=True, highlight=False).print(escape(proposal.text), end="")
    console = Console(highlight=False, stderr=True)
    if out is not None:
        console.print(f"written to {escape(str(out))}: read it before anything else")
    if trial is not None:
        print_trial(trial, aside=True)
    if proposal.fault is not None:
        console.print(f"[bold]not a whole profile yet[/] {escape(proposal.fault or '')}")
    console.print(f"{len(proposal.questions)} questions for the company: {_ASK_HINT}")


_ASK_HINT: Final = "the lines that say ASK THE COMPANY"


def proposal_object(proposal: Proposal, trial: Trial | None) -> dict[str, Any]:
    """Return a proposal as ``--json`` prints it."""
    return {
        "found": proposal.found,
        "toml": proposal.text,
        "valid": proposal.fault is None,
        "fault": proposal.fault,
        "questions": proposal.questions,
        "columns": [
            {"name": one.name, "holds": one.holds, "sure": one.sure, "why": one.why}
            for one in proposal.guesses
        ],
        "check": None if trial is None else as_object(trial),
    }


def install(file: Path, *, replace: bool) -> Path:
    """Copy a checked profile to the folder of profiles; it counts from the next start.

    Raises:
        Invalid: it is wrong, or no folder is set.
        Conflict: its code or its biller number is another company's, or it is there already.
    """
    folder = settings().profiles_dir
    if folder is None:
        raise Invalid("no folder of profiles is set: set CITYBILL_PROFILES_DIR for every process")
    profile = load_profile(file)
    reader_from(profile)
    target = folder / f"{profile.code}.toml"
    _refuse_taken(profile, target)
    if target.exists() and not replace:
        raise Conflict(f"{target} is there already: say --replace to put this one in its place")
    folder.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".draft")
    draft.write_bytes(file.read_bytes())
    os.replace(draft, target)
    return target


def _refuse_taken(profile: Profile, target: Path) -> None:
    own = [(one.code, one.biller_no, source_of(one.code)) for one in PROVIDERS.values()]
    for code, biller_no, source in own:
        if source == str(target):
            continue
        if code == profile.code:
            raise Conflict(f"the code {code!r} is taken ({source}): give the company another")
        if biller_no == profile.biller_no:
            raise Conflict(f"the biller_no {biller_no} is that of {code!r}: give it another")
