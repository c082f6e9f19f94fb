"""The rooms of a company's own pages; the first that answers a path has it."""

from types import ModuleType

from web.pages.company import (
    bill_files,
    complaints,
    documents,
    messages,
    moves,
    offers,
    papers,
    remittances,
)

ROOMS: tuple[ModuleType, ...] = (
    moves,
    bill_files,
    messages,
    offers,
    remittances,
    complaints,
    documents,
    papers,
)
