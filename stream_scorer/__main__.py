"""`python -m stream_scorer` is the console script."""

from stream_scorer.commands.main import run

if __name__ == "__main__":
    run()
