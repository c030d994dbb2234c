"""What people run around a worker: audit, trace and quality, dead letters and the page,
the local broker, the demo, the benchmark, producing."""
