"""Rules by family; importing a family enters its rules into the table."""

from shiftjax.certifier._rules import control, indexing, layout, mixing, pointwise, reshaping, windows
from shiftjax.certifier._rules.table import TABLE, Equation, Record, Rule, rule

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
