"""`python -m ptheta` is the command `ptheta`."""

from ptheta.cli import main

if __name__ == "__main__":  # processes that share a batch import this file again
    main()
