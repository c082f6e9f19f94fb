"""What may be shown of personal data: masked unless somebody has a reason to see it whole."""


def mask_no(number: str) -> str:
    """Show the last four characters of an account number: ``"****4567"``."""
    return "*" * max(len(number) - 4, 4) + number[-4:] if len(number) > 4 else "*" * len(number)


def mask_name(name: str) -> str:
    """Show the family name only: ``"王小明"`` → ``"王**"``."""
    return name[:1] + "*" * max(len(name) - 1, 1) if name else ""


def mask_contact(contact: str) -> str:
    """Show enough of a phone or e-mail for its owner to know it again."""
    name, at, domain = contact.partition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    return f"{contact[:3]}****{contact[-4:]}" if len(contact) >= 8 else "****"
