"""What goes wrong next with an order at the sandbox gateway, when somebody has asked for it.

Source: docs/wire/sandbox-gateway.md, "Faults".
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

NEXT = "*"  # the next order that is opened or debited, whatever its number


class Fault(StrEnum):
    SILENT = "silent"  # does it, and hangs up in the middle of the answer
    ERROR = "error"  # does it, and answers 500
    OTHER_AMOUNT = "other_amount"  # takes one fen more


class FaultRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_no: str = Field(pattern=r"^(\*|[0-9A-Za-z._:~-]{1,64})$")
    fault: Fault = Field(strict=False)
