"""What all tables of a company's terms are."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the TOML: a key it does not know is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)
