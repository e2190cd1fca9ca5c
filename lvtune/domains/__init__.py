"""Domains, one a file: what they are called, where their data come from, what sentences describe them."""

from lvtune.domains import ap10k, coco, demo_art, filters_more, freihand, hand_figures, humanart, lsp_art, rhd, stb
from lvtune.domains.custom import custom_domain
from lvtune.domains.domain import Domain, Split
from lvtune.domains.domain_registry import DOMAINS, list_domains, register_domain
from lvtune.domains.filters import apply_filter, list_filters, register_filter
from lvtune.domains.find_domain import get_domain

__all__ = [
    "DOMAINS",
    "Domain",
    "Split",
    "ap10k",
    "apply_filter",
    "coco",
    "custom_domain",
    "demo_art",
    "filters_more",
    "freihand",
    "get_domain",
    "hand_figures",
    "humanart",
    "list_domains",
    "list_filters",
    "lsp_art",
    "register_domain",
    "register_filter",
    "rhd",
    "stb",
]
