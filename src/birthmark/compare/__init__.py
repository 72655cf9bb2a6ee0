"""Weights against weights: is one model file derived from another? No data, no twins, no queries."""
