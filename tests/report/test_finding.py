from __future__ import annotations

from dataclasses import replace

from tests.measures.test_record import RECORD
from textmetric.report.findings.finding import rows_in_words


def test_a_table_says_of_how_many_rows_a_sample_is() -> None:
    whole = replace(RECORD, counts={**RECORD.counts, "empty_rows": 1})
    words = "9 train rows, 7 test rows (1 without a known token), 4 labels"
    assert rows_in_words(whole) == words
    of_sample = {"recall_at_1_queries": [10_000] * 2, "map_at_r_queries": [107] * 2}
    assert rows_in_words(replace(whole, per_seed=of_sample)) == (
        f"{words}; a sample of the test rows is asked, each among all: for Recall@k 10,000, "
        "for MAP@R and R-precision 107 (the 95 % margins of this sampling are in the metrics)"
    )
