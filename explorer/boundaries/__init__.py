"""Where formats meet in a plan: coherent regions, casts that could go and how, and copies for the sake of layout."""

from explorer.boundaries.record import Boundaries, boundaries

__all__ = ["Boundaries", "boundaries"]
