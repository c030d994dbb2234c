"""One module for each part of the page: a view asks, and fills a template."""
