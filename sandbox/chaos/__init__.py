"""Payments and plans while processes are killed at random, and the proof that no cent was lost or doubled."""
