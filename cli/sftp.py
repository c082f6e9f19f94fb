"""``citybill sftp …``: who may bring files by SFTP, and what waits there."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from billing.files.drop_folders import drop_folder
from cli.connect import connected
from core import log
from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid
from core.settings import settings
from identity import company_logins
from identity.company_logins import CompanyLogin
from identity.host_key import fingerprint
from providers.registry import get_provider

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who may bring files by SFTP.")
Code = Annotated[str, typer.Argument(metavar="CODE", help="The company: water, power …")]
Label = Annotated[str, typer.Option(help="Whose it is, for whoever reads the list.")]
_log = log.logger(__name__)
_LARGEST_KEY_BYTES = 16_384


def add_key(provider_code: str, path: Path, *, label: str, now: datetime) -> CompanyLogin:
    """Let a company sign in with the public key in a file.

    Raises:
        Invalid: it is no public key, or a weak one.
        Conflict: the company has it already.
    """
    if path.stat().st_size > _LARGEST_KEY_BYTES:
        raise Invalid(f"{path.name} is too large to be a public key")
    key_text = path.read_text(encoding="utf-8", errors="replace")
    code = _user(provider_code)
    with transaction() as session:
        login = company_logins.add_key(session, code, key_text, label=label or path.name, now=now)
    _log.info("sftp_login_added", company=code, login_id=login.id, fingerprint=login.fingerprint)
    return login


def add_password(provider_code: str, *, label: str, now: datetime) -> tuple[CompanyLogin, str]:
    """Let a company sign in with a new password, returned once."""
    code = _user(provider_code)
    with transaction() as session:
        login, password = company_logins.add_password(
            session, code, label=label or "password", now=now
        )
    _log.info("sftp_login_added", company=code, login_id=login.id)
    return login, password


def _user(code: str) -> str:
    """Return a user name: a company's code, or that of somebody who brings books."""
    return code if code in settings().book_senders else get_provider(code).code


def revoke(login_id: int, *, now: datetime) -> CompanyLogin:
    """End a login; a session that uses it ends within seconds."""
    with transaction() as session:
        login = company_logins.revoke(session, login_id, now=now)
    _log.info("sftp_login_revoked", company=login.provider_code, login_id=login.id)
    return login


def as_objects(provider_code: str | None) -> list[dict[str, object]]:
    """Return the logins without their secrets."""
    with transaction() as session:
        found = company_logins.list_logins(session, provider_code)
    hidden = {"password_hash", "public_key"}
    return [
        {"kind": "key" if one.fingerprint else "password"} | one.model_dump(exclude=hidden)
        for one in found
    ]


def our_fingerprint() -> str | None:
    """Return the fingerprint of our host key, if there is one on this machine."""
    folder = settings().sftp_dir
    return fingerprint(folder) if folder is not None else None


def waiting(provider_code: str) -> tuple[int, int]:
    """Return how many files of a company wait to be taken, and how many uploads never ended."""
    folder, delivery = settings().sftp_dir, get_provider(provider_code).delivery
    if folder is None or not drop_folder(folder, provider_code).taken.is_dir():
        return 0, 0
    found = drop_folder(folder, provider_code).waiting(flag=delivery.flag if delivery else None)
    return found.files, found.unfinished


@app.command(name="add-key")
def add_key_command(
    code: Code,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    label: Label = "",
) -> None:
    """Let a company sign in with a public key."""
    with connected():
        login = add_key(code, file, label=label, now=utc_now())
    print_line(f"login {login.id} of {code}: {login.fingerprint}")


@app.command(name="add-password")
def add_password_command(code: Code, label: Label = "") -> None:
    """Make a password for a company; it is shown this once."""
    with connected():
        login, password = add_password(code, label=label, now=utc_now())
    Console(stderr=True).print(f"login {login.id} of {code}; the password is shown this once:")
    print_line(password)


@app.command(name="list")
def list_command(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Of one company.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List every login there ever was, and the key our server is known by."""
    with connected():
        logins, host = as_objects(code), our_fingerprint()
    if as_json:
        print_line(json.dumps({"logins": logins, "host_key": host}, default=str))
        return
    columns = ("id", "provider_code", "kind", "label", "fingerprint", "created_at", "used_at",
               "revoked_at")  # fmt: skip
    table = Table(*columns, box=None)
    for one in logins:
        table.add_row(*(_cell(one[column]) for column in columns))
    Console().print(table)
    print_line(f"our host key: {host or 'made when the server starts first'}")


@app.command(name="revoke")
def revoke_command(
    login_id: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")],
) -> None:
    """End a login; who is signed in with it is turned out within seconds."""
    with connected():
        login = revoke(login_id, now=utc_now())
    print_line(f"login {login.id} of {login.provider_code} is revoked")


def print_line(line: str) -> None:
    """Print a line on standard output, as it is."""
    sys.stdout.write(f"{line}\n")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else escape(str(value))
