"""Why something about homes or one's own data was refused, in the words of a page."""

from core.errors import CityBillError
from web.look import say


def in_words(locale: str, refused: CityBillError) -> str:
    """Return a refusal as its reader is told of it, with what to do."""
    match refused.code:
        case "contact.malformed":
            return say(locale, "That is neither a phone number nor an e-mail address.")
        case "home.name":
            return say(locale, "A home's name has 1 to 40 characters.")
        case "home.days":
            return say(locale, "The last day must not be before the first, nor in the past.")
        case "home.day_far":
            return say(locale, "Days lie between the years 2000 and 2099.")
        case "home.days_of_manager":
            return say(locale, "Whoever manages a home does so for good: leave the days empty.")
        case "home.member_already":
            return say(locale, "They belong to this home already.")
        case "home.invitations":
            return say(locale, "Ten invitations a day at most. Go on tomorrow.")
        case "home.invited_often":
            return say(locale, "You have invited them three times within a month. Ask them first.")
        case "home.invitation_over":
            return say(locale, "This invitation is over. Ask for another one.")
        case "home.last_manager":
            return say(
                locale, "Nobody else manages this home. Let somebody else manage it first, then go."
            )
        case "home.not_empty":
            return say(locale, "Only an empty home can be removed: take accounts and people out.")
        case "home.too_many":
            return say(locale, "Twenty homes are the most.")
        case "home.not_manager":
            return say(locale, "Only who manages this home can do that.")
        case _:
            return _of_own_data(locale, refused)


def _of_own_data(locale: str, refused: CityBillError) -> str:
    match refused.code:
        case "me.payment_under_way":
            return say(locale, "A payment of yours is under way. Come back once it has ended.")
        case "me.refund_under_way":
            return say(locale, "Money is on its way back to you. Come back once it is there.")
        case "me.last_manager":
            return say(
                locale,
                "Other people belong to a home that only you manage. Let one of them manage it, or"
                " take them out, first.",
            )
        case "me.exports":
            return say(locale, "You have taken three copies today. Go on tomorrow.")
        case "me.at_work":
            return say(locale, "You use this sign-in for your work. An admin can end it.")
        case "sign_in.codes":
            return say(locale, "Too many codes were asked for. Try again in an hour.")
        case "sign_in.tries":
            return say(locale, "Too many wrong codes were typed. Try again tomorrow.")
        case _:
            return say(locale, "The form is out of date. Begin again.")
