"""Exchanges with tools: made-up tools, requests, results and whole conversations."""
