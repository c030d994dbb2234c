"""HTTP servers with limits on connections, time and size; the worker, the console and others serve through them."""
