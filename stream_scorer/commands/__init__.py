"""The command line, thin: options in, a call, tables or JSON out."""
