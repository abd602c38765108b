"""Kills fits at random moments with SIGKILL, resumes each, and compares the bits at the end.

python benchmarks/kill.py [--kills 20] [recipe ...]
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = {"realnvp": 600, "gan": 1500, "gmm": 60, "ebm": 400, "made": 600, "vae": 600, "ncsn": 600}
PROGRAM = """
import sys, ptheta
data, recipe, steps, out, resume = sys.argv[1:]
settings = {"tolerance": 0.0} if recipe == "gmm" else {}
ptheta.fit(ptheta.load_data(data), recipe, settings=settings, steps=int(steps), out=out,
           resume=resume == "True", checkpoint_seconds=0.2, device="cpu")
"""


def start(recipe: str, out: Path) -> subprocess.Popen[bytes]:
    resume = (out / "run.json").exists()
    arguments = ["digits", recipe, str(STEPS[recipe]), str(out), str(resume)]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])


def digest(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", default=["realnvp", "gan", "gmm", "ebm"])
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    random.seed(0)
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as temporary:
            whole, cut = Path(temporary) / "whole", Path(temporary) / "cut"
            began = time.monotonic()
            assert start(recipe, whole).wait() == 0
            seconds = time.monotonic() - began
            kills = 0
            while kills < options.kills:
                process = start(recipe, cut)
                try:
                    process.wait(timeout=random.uniform(0.5, 1.0) * seconds)
                    if process.returncode != 0:
                        raise SystemExit(f"{recipe} failed on resume")
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
            assert start(recipe, cut).wait() == 0
            same = "the same bits" if digest(whole) == digest(cut) else "OTHER BITS"
            print(f"{recipe}: killed {kills} times, {same} as undisturbed ({seconds:.1f} s)")


if __name__ == "__main__":
    main()
