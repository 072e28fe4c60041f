"""Write the teacher of a run into the package, in half precision, and print the lines for its recipe.

For the teacher of the quickstart, from the repository's root:

    gancompress train quickstart --out runs/quickstart-teacher python scripts/ship_teacher.py runs/quickstart-teacher
    quickstart

then put the printed lines under ``teacher`` in the recipe.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from gancompress.errors import GanCompressError
from gancompress.job import load_job
from gancompress.networks.generator import Generator
from gancompress.recipes.shipped import DISCRIMINATOR, ShippedTeacher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory in which gancompress train has trained a teacher")
    parser.add_argument("name", help="of the shipped teacher")
    parser.add_argument("--discriminator", action="store_true", help="ship the discriminator, too")
    arguments = parser.parse_args()
    try:
        print(ship(arguments.run, arguments.name, arguments.discriminator), end="")
    except GanCompressError as error:
        print(f"ship_teacher.py: {error}", file=sys.stderr)
        sys.exit(2)


def ship(run: Path, name: str, with_discriminator: bool) -> str:
    """Write the teacher; return the recipe's lines."""
    train = load_job(str(run / "job.yaml"), train_teacher=True).teacher.train
    assert train is not None  # load_job has checked it
    teacher = run / "teacher"
    discriminator = Generator.load(teacher / DISCRIMINATOR) if with_discriminator else None
    training = train.model_dump(mode="json", exclude_defaults=True)
    shipped = ShippedTeacher.write(name, Generator.load(teacher), discriminator, training)
    return yaml.safe_dump({"shipped": shipped.model_dump(exclude_none=True)}, sort_keys=False)


if __name__ == "__main__":
    main()
