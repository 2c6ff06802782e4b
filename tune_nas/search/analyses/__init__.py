"""Analyses of the papers: each maps a search to a table, as a probe or by a command."""

from __future__ import annotations

from tune_nas.search.analyses.analysis_probe import AnalysisProbe, load_analysis

__all__ = ["AnalysisProbe", "load_analysis"]
