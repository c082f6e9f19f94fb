"""Whole columns of amounts at once: what ``core.money`` reads cell by cell, and nothing else.

Each pair says which cells it is *sure* of and what they are in fen. A cell it is not sure of may
still be an amount: ``core.money`` is the judge of those.
"""

import polars as pl

_SURE_YUAN = (
    r"^(?:0|-?(?:[1-9][0-9]{0,11}(?:\.[0-9]{1,2})?|0\.(?:[0-9][1-9]|[1-9][0-9]?)))$|^0\.00?$"
)
_SURE_FEN = r"^(?:0|-?[1-9][0-9]{0,14})$"


def sure_of_yuan(cell: pl.Expr) -> pl.Expr:
    """Return which cells are yuan for certain, as ``parse_yuan`` reads them."""
    return cell.str.contains(_SURE_YUAN)


def yuan_to_fen(cell: pl.Expr) -> pl.Expr:
    """Return the fen of cells that ``sure_of_yuan`` is sure of."""
    decimals = cell.str.len_bytes().cast(pl.Int64) - cell.str.find(".", literal=True) - 1
    digits = cell.str.replace(".", "", literal=True).cast(pl.Int64, strict=False)
    return (
        pl.when(decimals == 2)
        .then(digits)
        .when(decimals == 1)
        .then(digits * 10)
        .otherwise(digits * 100)
    )


def sure_of_fen(cell: pl.Expr) -> pl.Expr:
    """Return which cells are whole fen for certain, as ``parse_fen`` reads them."""
    return cell.str.contains(_SURE_FEN)


def fen_to_fen(cell: pl.Expr) -> pl.Expr:
    """Return the fen of cells that ``sure_of_fen`` is sure of."""
    return cell.cast(pl.Int64, strict=False)
