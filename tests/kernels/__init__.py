"""Tests of the channels to kernels, with real kernels."""
