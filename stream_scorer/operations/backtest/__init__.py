"""Models held against what the topics retain."""
