"""The tables of the study with their verdicts, one file a table or group of tables.

The ids with numbers are those of the original study's tables. Which splits a table is about
follows from their kinds and roles, so any two corpora can play the roles.
"""

from __future__ import annotations

from dataclasses import replace

from textmetric.report.findings.finding import Finding
from textmetric.report.findings.rarest import rarest_labels
from textmetric.report.findings.scarce import each_label_scarce
from textmetric.report.findings.transfers import label_efficiency, transfer
from textmetric.report.findings.unseen import unseen_labels
from textmetric.report.findings.whole import whole
from textmetric.report.study import Study
from textmetric.report.verdicts import judge

__all__ = ["Finding", "find_all"]


def find_all(study: Study) -> list[Finding]:
    """Every table that the corpora and splits of a run allow, in the order of the study."""
    found = [
        finding
        for finding in (
            *whole(study),
            each_label_scarce(study),
            *rarest_labels(study),
            unseen_labels(study),
            transfer(study),
            label_efficiency(study),
        )
        if finding
    ]
    verdicts = judge(
        [finding.primary for finding in found if finding.primary],
        [finding.comparisons for finding in found],
    )
    return [
        replace(finding, verdicts=judged) for finding, judged in zip(found, verdicts, strict=True)
    ]
