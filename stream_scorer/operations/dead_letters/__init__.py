"""Dead letters that people can work with: found, looked at, checked, mended, replayed, discarded, proven."""
