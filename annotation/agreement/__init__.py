"""How far people agree: pure functions over arrays, no database.

A Table holds what people said, a row each; agreement() measures it, by_pair() and by_period() take it apart, severity
tells who rates low from who disagrees. docs/agreement.md gives every figure with its formula and source.
"""

from annotation.agreement.alpha import Agreement, agreement
from annotation.agreement.drawing import Estimate
from annotation.agreement.parts import PairOfPeople, Period, by_pair, by_period
from annotation.agreement.reasons import Reason
from annotation.agreement.severity import Severity, orders, severity
from annotation.agreement.shares import Share, share
from annotation.agreement.tables import Table, table

__all__ = [
    "Agreement",
    "Estimate",
    "PairOfPeople",
    "Period",
    "Reason",
    "Severity",
    "Share",
    "Table",
    "agreement",
    "by_pair",
    "by_period",
    "orders",
    "severity",
    "share",
    "table",
]
