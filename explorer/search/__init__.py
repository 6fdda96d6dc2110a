"""The search for recipes: what choices cost besides quality, the best under a budget, baselines, the frontier."""

from explorer.search.constraints import BY_INPUT, Constraints, ties_by_input
from explorer.search.frontier import Frontier, Meters
from explorer.search.goal import UNITS, Goal, Objective
from explorer.search.problem import Problem
from explorer.search.proposal import Proposal
from explorer.search.search import Known, search
from explorer.search.solve import Solution, cheapest, least

__all__ = [
    "BY_INPUT",
    "UNITS",
    "Constraints",
    "Frontier",
    "Goal",
    "Known",
    "Meters",
    "Objective",
    "Problem",
    "Proposal",
    "Solution",
    "cheapest",
    "least",
    "search",
    "ties_by_input",
]
