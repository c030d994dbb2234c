"""Forms of the console and how they are parsed."""
