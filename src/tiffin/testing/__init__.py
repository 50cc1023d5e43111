"""Fakes, contract suites and builders of small images for tests."""
