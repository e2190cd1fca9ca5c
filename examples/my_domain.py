"""A domain of your own in one file: woodcuts of people, in two categories.

    lvtune adapt --import examples/my_domain.py --domain woodcuts --data WOODCUTS/

docs/write-a-domain.md explains each part. For your own pictures you need no domain: `lvtune adapt --data PICTURES
--annotations FILE.json`. A domain gives a data set a name, categories and sentences, for others to use.
"""

from lvtune import register_domain
from lvtune.data.table import read_coco
from lvtune.domains import Domain, Split
from lvtune.domains.domain import missing, need_folder

SENTENCES = {"old": "an old woodcut of a human", "modern": "a modern linocut of a human"}


def read(domain, split, data):
    """Reads ``train.json``, ``val.json`` or ``test.json``, COCO's, beside the folder ``pictures``."""
    folder = need_folder(domain, data)
    file = folder / f"{split}.json"
    if not file.is_file():
        raise missing(domain, f"no file {file}")
    table = read_coco(file, folder / "pictures", skeleton=domain.get_skeleton(), category_of=category_of)
    return Split(table, f"woodcuts ({split})")


def category_of(image):
    """``old-0001.png`` is an old one."""
    return image["file_name"].partition("-")[0]


@register_domain("woodcuts")
def woodcuts():
    """Woodcuts of people."""
    return Domain(
        name="woodcuts",
        title="woodcuts of people, old and modern",
        skeleton="coco-17",
        categories=tuple(SENTENCES),
        sentences=SENTENCES,
        reader=read,
        source="woodcuts that our museum has labelled",
        layout="FOLDER/{train,val,test}.json (COCO's) and FOLDER/pictures/",
    )
