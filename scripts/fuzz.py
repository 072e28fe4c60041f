"""Try what may go wrong, as often as asked: each trial must end in one short line, or with the right bits, or refused.

python scripts/fuzz.py recipes 5000    # mutated recipes
python scripts/fuzz.py commands 1000   # random command lines, on files of every wrong kind
python scripts/fuzz.py runs 200        # run directories with damaged files
python scripts/fuzz.py kills 30        # a job that is killed, once or several times, and resumed: the same bits
python scripts/fuzz.py signals 20      # the command under Ctrl-C or SIGTERM at any moment: one line, and status 130
python scripts/fuzz.py weights 200     # files of weights that run something when they are unpickled
python scripts/fuzz.py directories 200 # directories that name programs

Every trial is drawn from the seed and its number alone: with --start N the count goes on from trial N.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from gancompress.errors import MAX_MESSAGE, GanCompressError
from tests.fuzzing import KINDS, FoundError


def ending(trial) -> str:
    """Run a trial; return how it ended, in capitals if it should not."""
    try:
        return trial() or "fine"
    except GanCompressError as error:
        short = len(str(error)) <= MAX_MESSAGE and str(error).isprintable()
        return "one line" if short else "A LONG OR UNPRINTABLE LINE"
    except OSError:
        return "an error of the system, in one line"
    except FoundError as error:
        print(error)
        return error.kind
    except Exception:
        print(traceback.format_exc()[-1500:])
        return "A TRACEBACK"


def main() -> None:
    """Print every failure with its number and cause, then counts; exit status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first trial")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many minutes")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    ended: Counter[str] = Counter()
    slowest, began = 0.0, time.monotonic()
    draw, last = random.Random(arguments.seed), arguments.start + arguments.count
    with TemporaryDirectory() as folder:
        trials = KINDS[arguments.kind](draw, Path(folder))
        for number in range(arguments.start, last):
            if time.monotonic() - began > 60 * arguments.minutes:
                print(f"stopped in time: --start {number} goes on")
                break
            draw.seed(f"{arguments.seed}/{number}")
            what, trial = next(trials)
            start = time.process_time()
            how = ending(trial)
            ended[how] += 1
            slowest = max(slowest, time.process_time() - start)
            if how.isupper():
                print(f"--- trial {number}, {how}: {what[:1500]}", flush=True)
    print(f"{sum(ended.values())} trials: {', '.join(f'{name}: {count}' for name, count in ended.items())}")
    print(f"slowest {slowest:.2f} s of processor time")
    sys.exit(any(name.isupper() for name in ended))


if __name__ == "__main__":
    main()
