"""What may be shown of personal data: masked unless somebody has a reason to see it whole."""

import re

SHOWN = 4  # characters of an account number


def mask_no(number: str) -> str:
    """Show the last four characters of an account number: ``"****4567"``."""
    if len(number) <= SHOWN:
        return "*" * len(number)
    return "*" * max(len(number) - SHOWN, 4) + number[-SHOWN:]


def mask_name(name: str) -> str:
    """Show the family name only: ``"王小明"`` → ``"王**"``."""
    return name[:1] + "*" * max(len(name) - 1, 1) if name else ""


def mask_contact(contact: str) -> str:
    """Show enough of a phone or e-mail for its owner to know it again."""
    name, at, domain = contact.partition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    return f"{contact[:3]}****{contact[-4:]}" if len(contact) >= 8 else "****"


def mask_address(address: str) -> str:
    """Show the street without the door: ``"汉口路1弄2号"`` → ``"汉口路****"``."""
    street = re.split(r"[0-9０-９]", address, maxsplit=1)[0]
    return street[: max(len(address) // 2, 1)] + "****" if address else ""
