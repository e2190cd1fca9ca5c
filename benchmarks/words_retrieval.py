"""What a joint encoder tells apart in a domain: how often a picture's own sentence is the nearest one.

    python benchmarks/words_retrieval.py small:small-joint.safetensors hand-figures [COUNT]
    python benchmarks/words_retrieval.py clip humanart HUMANART/ [COUNT]

Takes COUNT (60) test pictures of each category of the domain, and the domain's own sentences. Prints for each category
the share of its pictures that get its sentence, and the sentence that most of them get. Prints the mean share and
chance. If the mean is at chance, rows of `words_hands.yaml` and `words_bodies.yaml` that read sentences are void.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import torch
from torch.nn import functional as F

from lvtune.config.options import DataOptions
from lvtune.domains import get_domain
from lvtune.language.joint_registry import load_joint_encoder

BATCH = 32


def looks(encoder, table, count):
    """Vectors (N, D) of the first pictures, each of length 1."""
    found = []
    for start in range(0, min(count, len(table)), BATCH):
        places = range(start, min(start + BATCH, count, len(table)))
        pictures = (torch.from_numpy(table.picture(i)).permute(2, 0, 1) / 255 for i in places)
        found += [encoder.encode_images(picture[None].float())[0] for picture in pictures]
    return F.normalize(torch.stack(found), dim=-1)


def main() -> None:
    """Measures and prints."""
    if len(sys.argv) < 3:
        print(__doc__)
        return
    name, domain_name, *rest = sys.argv[1:]
    folder = next((text for text in rest if not text.isdigit()), None)
    count = next((int(text) for text in rest if text.isdigit()), 60)
    if folder is not None and not Path(folder).is_dir():
        sys.exit(f"no folder {folder}")
    encoder, domain = load_joint_encoder(name), get_domain(domain_name)
    sentences = {category: domain.sentences[category] for category in domain.categories}
    said = F.normalize(encoder.encode_text(list(sentences.values())), dim=-1)
    shares = []
    for category in sentences:
        split = get_domain(f"{domain_name}/{category}").open("test", DataOptions(data=folder))
        chosen = (looks(encoder, split.table, count) @ said.T).argmax(1).tolist()
        given = Counter(list(sentences)[i] for i in chosen)
        shares.append(given[category] / len(chosen))
        most, times = given.most_common(1)[0]
        print(f"{category:16s} {shares[-1]:4.0%} of {len(chosen)}; most often '{most}' ({times})", flush=True)
    print(f"mean {sum(shares) / len(shares):.1%}, chance {1 / len(shares):.1%}")


if __name__ == "__main__":
    main()
