"""Whole columns of amounts at once: what ``core.money`` reads cell by cell, and nothing else.

Each pair says which cells it is *sure* of and what they are in fen. A cell it is not sure of may
still be an amount: ``core.money`` is the judge of those.
"""

import polars as pl

_SURE_YUAN = (
    r"^(?:0|-?(?:[1-9][0-9]{0,11}(?:\.[0-9]{1,2})?|0\.(?:[0-9][1-9]|[1-9][0-9]?)))$|^0\.00?$"
)
_YUAN = pl.Decimal(18, 2)
_SURE_FEN = r"^(?:0|-?[1-9][0-9]{0,14})$"


def sure_of_yuan(cell: pl.Expr) -> pl.Expr:
    """Return which cells are yuan for certain, as ``parse_yuan`` reads them."""
    return cell.str.contains(_SURE_YUAN)


def yuan_to_fen(cell: pl.Expr) -> pl.Expr:
    """Return the fen of cells that ``sure_of_yuan`` is sure of."""
    return (cell.cast(_YUAN, strict=False) * 100).cast(pl.Int64, strict=False)


def sure_of_fen(cell: pl.Expr) -> pl.Expr:
    """Return which cells are whole fen for certain, as ``parse_fen`` reads them."""
    return cell.str.contains(_SURE_FEN)


def fen_to_fen(cell: pl.Expr) -> pl.Expr:
    """Return the fen of cells that ``sure_of_fen`` is sure of."""
    return cell.cast(pl.Int64, strict=False)
