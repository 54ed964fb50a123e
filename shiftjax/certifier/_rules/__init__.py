"""Rules by family; importing a family enters its rules into the table."""

from shiftjax.certifier._rules import branching as branching
from shiftjax.certifier._rules import indexing as indexing
from shiftjax.certifier._rules import layout as layout
from shiftjax.certifier._rules import looping as looping
from shiftjax.certifier._rules import mixing as mixing
from shiftjax.certifier._rules import pointwise as pointwise
from shiftjax.certifier._rules import reshaping as reshaping
from shiftjax.certifier._rules import updating as updating
from shiftjax.certifier._rules import windows as windows
from shiftjax.certifier._rules.table import TABLE as TABLE
from shiftjax.certifier._rules.table import Equation as Equation
from shiftjax.certifier._rules.table import Record as Record
from shiftjax.certifier._rules.table import Rule as Rule
