"""Tests of what is used of the machine."""
