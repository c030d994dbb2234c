"""The pages under docs/ that say what the code says: the contract, the settings, the metrics.

Invariant: one code gives the same bytes, and nobody writes these pages by hand.

Generate them again: `python -m stream_scorer.operations.generators.docs_pages docs`.
"""

import sys
from pathlib import Path

from stream_scorer.operations.generators.acl_page import rights_page
from stream_scorer.operations.generators.contract_page import contract_page
from stream_scorer.operations.generators.metrics_page import metrics_page
from stream_scorer.operations.generators.settings_page import settings_page


def described_pages() -> dict[str, str]:
    """File name → text of every page that is generated."""
    pages = {
        "contract.md": contract_page(),
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "rights.md": rights_page(),
    }
    return {name: "\n".join(lines) + "\n" for name, lines in pages.items()}


# The rights


# The contract


# The settings


# The metrics


# Markdown


def write_pages(folder: Path) -> None:
    for name, text in described_pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
