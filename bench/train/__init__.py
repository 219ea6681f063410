"""Recipes that make weights for the in-repo models."""
