"""Rules by family; importing a family enters its rules into the table."""

from shiftjax.certify.rules import control, indexing, layout, mixing, pointwise, reshaping, windows
from shiftjax.certify.rules._table import TABLE, Equation, Record, Rule, rule

__all__ = [
    "TABLE",
    "Equation",
    "Record",
    "Rule",
    "control",
    "indexing",
    "layout",
    "mixing",
    "pointwise",
    "reshaping",
    "rule",
    "windows",
]
