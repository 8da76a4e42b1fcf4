"""All rows, in the table's order. A new row is an entry in one of these modules' ``ROWS``."""

from benchmarks.row import Row
from benchmarks.rows import (
    contraction,
    elementwise,
    indexing,
    networks,
    overhead,
    processes,
    reduce,
)

ROWS: dict[str, Row] = {
    row.name: row
    for family in (elementwise, reduce, contraction, indexing, overhead, networks, processes)
    for row in family.ROWS
}
