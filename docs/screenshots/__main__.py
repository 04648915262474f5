"""Take the pictures of README and docs/ anew: `make screenshots` (or `python -m docs.screenshots`).

    python -m docs.screenshots --all /tmp/pages     also leaves every page there: wide and on a phone, in both themes
                                                    and both languages, to be looked at
    python -m docs.screenshots --var /tmp/round     keeps the product's data there: the next time nothing is trained,
                                                    and a changed style is seen within minutes

Starts the product on an empty folder and goes round the loop once through its pages: people and simulated annotators
label, the real worker trains the starter model (about ten minutes on two CPU cores). Then it photographs.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from docs.screenshots.camera import Camera
from docs.screenshots.pages import every_page, take_chosen
from docs.screenshots.world import World, go_round
from tests.browser import driving
from tests.product import data_folder, running_product

PICTURES = Path(__file__).parents[1] / "images"


@contextlib.contextmanager
def folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        with data_folder() as made:
            yield made
    else:
        chosen.mkdir(mode=0o755, parents=True, exist_ok=True)
        yield chosen.resolve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="where every page is left in every look")
    parser.add_argument("--var", type=Path, metavar="FOLDER", help="where the product's data is kept")
    options = parser.parse_args()
    with driving.chromium() as browser, folder(options.var) as var, running_product(var, demo=True) as product:
        world = World.kept(product)
        if world is None:
            world = go_round(browser, product)
            world.keep_all()
        camera = Camera(browser, product, world.logins)
        PICTURES.mkdir(exist_ok=True)
        take_chosen(camera, world, PICTURES)
        if options.all:
            options.all.mkdir(parents=True, exist_ok=True)
            for person, name, path in every_page(world):
                camera.take_in_every_look(person, path, options.all / name)


if __name__ == "__main__":
    main()
