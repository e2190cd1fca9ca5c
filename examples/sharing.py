"""Gives an adapter away, and takes it back as anybody would.

    hf auth login
    python examples/sharing.py FOLDER user/repo

FOLDER is what ``lvtune adapt`` wrote. The repository is made private; leave ``private`` out to give it to everyone.
"""

import sys

import lvtune

folder, repo = sys.argv[1:3]
pushed = lvtune.push_adapter(folder, repo, license="apache-2.0", private=True)
print(f"{pushed.url} holds {', '.join(pushed.files)}")

base = lvtune.load_base("vitpose-ti")
adapter = lvtune.load_adapter(pushed.source, base)  # user/repo@commit: these very bytes, whatever is pushed later
with lvtune.attach(base, adapter):
    print(f"{adapter.method} for {adapter.domain}, {sum(p.numel() for p in adapter.parameters()):,} parameters")

adapter.push_to_hub(repo, license="apache-2.0", private=True, revision="try", message="From memory")
print(lvtune.pull_adapter(f"{repo}@try", "lvtune-out/pulled").folder)
