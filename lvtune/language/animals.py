"""The species of AP-10K by family, and one sentence for each.

The names are those of the data set's categories: Yu et al., AP-10K, NeurIPS 2021 Datasets and Benchmarks, arXiv
2108.12617.
"""

from __future__ import annotations

FAMILIES: dict[str, tuple[str, ...]] = {
    "Bovidae": ("antelope", "argali_sheep", "bison", "buffalo", "cow", "sheep"),
    "Canidae": ("arctic_fox", "dog", "fox", "wolf"),
    "Castoridae": ("beaver",),
    "Cercopithecidae": ("alouatta", "monkey", "noisy_night_monkey", "spider_monkey", "uakari"),
    "Cervidae": ("deer", "moose"),
    "Cricetidae": ("hamster",),
    "Elephantidae": ("elephant",),
    "Equidae": ("horse", "zebra"),
    "Felidae": (
        "bobcat", "cat", "cheetah", "jaguar", "king_cheetah", "leopard", "lion", "panther", "snow_leopard", "tiger",
    ),
    "Giraffidae": ("giraffe",),
    "Hippopotamidae": ("hippo",),
    "Hominidae": ("chimpanzee", "gorilla", "orangutan"),
    "Leporidae": ("rabbit",),
    "Mephitidae": ("skunk",),
    "Muridae": ("mouse", "rat"),
    "Mustelidae": ("otter", "weasel"),
    "Procyonidae": ("raccoon",),
    "Rhinocerotidae": ("rhino",),
    "Sciuridae": ("marmot", "squirrel"),
    "Suidae": ("pig",),
    "Talpidae": ("mole",),
    "Ursidae": ("black_bear", "brown_bear", "panda", "polar_bear"),
    "Vespertilionidae": ("bat",),
}  # fmt: skip
SPECIES = tuple(name for family in FAMILIES.values() for name in family)


def _sentence(species: str) -> str:
    words = species.replace("_", " ")
    return f"a photo of {'an' if words[0] in 'aeo' else 'a'} {words}"


AP10K = {species: _sentence(species) for species in SPECIES}
