"""How long `geoconvnext --help` takes: the best of several runs, in seconds."""

import subprocess
import sys
import time

RUNS = 3


def main() -> None:
    """Run and print."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "geoconvnext", "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    print(f"geoconvnext --help: best of {RUNS} {min(seconds):.2f} s")


if __name__ == "__main__":
    main()
