"""Phrases, answers and templates of the synthetic corpus: tables only, one module per topic."""
