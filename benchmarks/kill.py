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

from safetensors.torch import load_file

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
    # not of the file, whose header names its digests in any order
    found = hashlib.sha256()
    for name, tensor in sorted(load_file(out / "model.safetensors").items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def kill_and_resume(recipe: str, folder: Path, seconds: float, kills: int) -> tuple[int, list[str]]:
    """Kills fits until they have been killed so often; gives the digests of those that ended."""
    killed, fits, digests = 0, 0, list[str]()
    while killed < kills:
        out = folder / f"cut-{fits}"
        process = start(recipe, out)
        try:
            # python and torch take the first seconds; the rest is the fit
            process.wait(timeout=random.uniform(0.4, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
            continue
        digests.append(ended(process, out))
        fits += 1
    digests.append(ended(start(recipe, folder / f"cut-{fits}"), folder / f"cut-{fits}"))
    return killed, digests


def ended(process: subprocess.Popen[bytes], out: Path) -> str:
    if process.wait() != 0:
        raise SystemExit(f"the fit in {out} failed")
    return digest(out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", default=["realnvp", "gan", "gmm", "ebm"])
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    random.seed(0)
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            began = time.monotonic()
            whole = ended(start(recipe, folder / "whole"), folder / "whole")
            seconds = time.monotonic() - began
            killed, digests = kill_and_resume(recipe, folder, seconds, options.kills)
            same = "the same bits" if set(digests) == {whole} else "OTHER BITS"
            print(
                f"{recipe}: killed {killed} times over {len(digests)} fits of {seconds:.0f} s, "
                f"{same} as undisturbed"
            )


if __name__ == "__main__":
    main()
