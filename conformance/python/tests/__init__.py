"""Tests, in the standard library's unittest: ``python3 -m unittest discover`` in ``conformance/python``."""
