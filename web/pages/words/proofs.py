"""What pages say when a proof of an account was not right, and beside which field."""

from datetime import datetime
from typing import NamedTuple

from core.errors import CityBillError
from web import look


class Problem(NamedTuple):
    """What is wrong, and beside which field it stands; none: with all of it."""

    text: str
    field: str | None = None


def problem_of(locale: str, refused: CityBillError) -> Problem:
    """Say why a proof was refused; of what does not match nothing more is said than that."""
    match refused.code:
        case "challenge.no_company":
            return Problem(look.say(locale, "Choose the company that sent the bill."), "company")
        case "challenge.no_account":
            said = look.say(locale, "Type the account number as it stands on the bill.")
            return Problem(said, "account_no")
        case code if code.startswith("barcode."):
            said = look.say(
                locale, "These are not the thirty digits of a bill's barcode: check them."
            )
            return Problem(said, "account_no")
        case "challenge.no_proof":
            said = look.say(locale, "Fill in one of the two: an amount, or the holder's name.")
            return Problem(said, "amount")
        case "money.malformed":
            said = look.say(
                locale, "Write the amount in yuan, with two decimals at most, such as 86.50."
            )
            return Problem(said, "amount")
        case "email.malformed":
            return Problem(look.say(locale, "That is not an e-mail address."), "email")
    return Problem(_on_all(locale, refused))


def _on_all(locale: str, refused: CityBillError) -> str:
    match refused.code:
        case "challenge.no_guests":
            return look.say(
                locale, "This company's bills are paid by its customers only: please sign in."
            )
        case "challenge.proof" if "amount" in str(refused.facts.get("proofs")):
            return look.say(locale, "This company asks for an amount, not for a name.")
        case "challenge.proof":
            return look.say(locale, "This company asks for the holder's name, not for an amount.")
        case "challenge.too_many":
            return look.say(
                locale, "There were too many tries. You can try again from %(moment)s.",
                moment=look.moment_text(
                    locale, datetime.fromisoformat(str(refused.facts["free_at"]))
                ),
            )  # fmt: skip
        case "home.full":
            return look.say(
                locale, "This home has as many accounts as a home can have: make another home."
            )
    return look.say(
        locale,
        "We cannot open this account with what you typed. Check the company, the number and the"
        " amount or name. After five tries it is closed until tomorrow.",
    )
